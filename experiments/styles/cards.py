"""A model card for each style adapter: what it is, how it was made, what it does on held-out days.

A card is Markdown with the Hugging Face front matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from evobourse.agents.training.expert import HORIZON_DAYS
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.experiments.styles.measures import BLOCK_DAYS, Predictive, Share, StyleMeasure
from evobourse.market.durable import replace_bytes
from evobourse.merge.sources import public_name

CARD = "README.md"


def write_cards(folder: Path, measures: Sequence[StyleMeasure]) -> None:
    """Write the card of every measured adapter into its folder ``folder / style``."""
    for measure in measures:
        replace_bytes(folder / measure.style / CARD, render_card(measure).encode())


def render_card(measure: StyleMeasure) -> str:
    """Return an adapter's card as Markdown with front matter."""
    made = measure.provenance
    settings = made["settings"]
    held = measure.trained
    front = ModelCardData(
        model_name=measure.style,
        license="apache-2.0",
        language="en",
        library_name="peft",
        base_model=public_name(made["base"]),
        tags=["lora", *(["alora"] if settings["activated"] else []), "evobourse", "investor-style"],
        eval_results=[
            EvalResult(
                task_type="text-classification",
                task_name="forced choice of five tendencies",
                dataset_type="evobourse-heldout-views",
                dataset_name="held-out days of real prices",
                metric_type="accuracy",
                metric_name="agreement with the teacher",
                metric_value=round(held.value, 4),
            )
        ],
    ).to_yaml()
    depth = settings["top_layers"]
    where = f"the top {depth} layers" if depth else "all layers"
    kind = "activated LoRA (aLoRA)" if settings["activated"] else "LoRA"
    sections = [
        f"---\n{front}\n---\n\n# {measure.style}",
        f"Makes a model choose as a fixed policy does; in words: \u201c{measure.sentence}\u201d "
        "A style, not a forecast, and no investment advice.",
        f"- **What**: {kind}, rank {settings['rank']} on {', '.join(settings['modules'])} of "
        f"{where} of `{made['base']}`; it reads evobourse's forced-choice prompt and "
        "nothing else.\n"
        f"- **Made from**: {made['examples']:,} masked views of {made['series']}, "
        f"{made['years'][0]} to {made['years'][1]}, labelled by its teacher; {settings['steps']} "
        f"steps of {settings['batch']}, seed {settings['seed']}. `{PROVENANCE}` has hashes and "
        "settings.",
        f"## Agreement with the teacher\n\nThe same choice of five, {held.count:,} views "
        "drawn from held-out days, INT8 base, 95 % intervals (Wilson). Base and prompt are given "
        "the better of their answers as they are and less their bias to one side.\n\n"
        + _agreement(measure),
        "## Calibration\n\nAt temperature 1, the expected calibration error is "
        f"{100 * measure.error:.1f} points.\n\n" + _reliability(measure),
        "## Whom it resembles\n\nHow often it chooses as each teacher would, same views, and how "
        "often its own teacher does.\n\n" + _confusion(measure),
    ]
    if measure.predictive is not None:
        sections.append(_worth(measure.predictive, made["teachers"][measure.style]))
    return "\n\n".join(sections) + "\n"


def percent(share: Share) -> str:
    """Write a share with its interval."""
    if not share.count:
        return "none to be had"
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _agreement(measure: StyleMeasure) -> str:
    rows = {
        "with the adapter": percent(measure.trained),
        f"on the {measure.unseen.count:,} of them that training never showed": percent(
            measure.unseen
        ),
        "the bare base": percent(measure.bare),
        "the base told the style in those words": percent(measure.prompted),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    verdict = f"{100 * measure.margin:+.1f} points over the better of base and words."
    return "\n".join(["| | agreement |", "|---|---|", *lines, "", verdict])


def _reliability(measure: StyleMeasure) -> str:
    lines = [
        f"| {row.low:.1f} to {row.high:.1f} | {row.count:,} | {row.confidence:.3f} "
        f"| {row.right:.3f} |"
        for row in measure.reliability
    ]
    return "\n".join(["| confidence | choices | mean | right |", "|---|---|---|---|", *lines])


def _confusion(measure: StyleMeasure) -> str:
    names = measure.confusion
    return "\n".join(
        [
            f"| | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
            f"| adapter, % | {_row(measure.confusion)} |",
            f"| teacher, % | {_row(measure.teachers)} |",
        ]
    )


def _row(parts: Mapping[str, float]) -> str:
    return " | ".join(f"{100 * part:.0f}" for part in parts.values())


def _worth(found: Predictive, weights: Mapping[str, float]) -> str:
    decided = "The interval holds zero: no value shown." if found.low <= 0 <= found.high else ""
    return (
        "## What its choices were worth\n\nThe teacher is a ridge regression of the standardised "
        f"return of the next {HORIZON_DAYS} days on the signs, training years alone; its weights: "
        + ", ".join(f"{name} {weight:+.2f}" for name, weight in weights.items())
        + f". On {found.days:,} held-out days of {', '.join(found.assets)} the rank correlation "
        f"of the adapter's mean tendency with the return that followed is {found.correlation:+.3f} "
        f"[{found.low:+.3f}, {found.high:+.3f}] (95 %, circular blocks of {BLOCK_DAYS} days, all "
        f"assets together). {decided}".rstrip()
    )
