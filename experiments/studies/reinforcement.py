"""What refined styles earn in markets that they were not trained in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import Progress, TaskID

from evobourse.agents.training.reinforcement import ReinforcementConfig
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import Interval, bootstrap_interval, write_interval
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.styles.agreement import Agreement, measure_agreement
from evobourse.experiments.styles.market_pairs import (
    MEASURES,
    earns_more,
    list_casts,
    names_of,
    play_pairs,
)
from evobourse.experiments.styles.reinforced import reinforce_styles
from evobourse.experiments.sweep.setup import SHIPPED, build_experiment
from evobourse.fitness.moments import FloatArray

STUDY = Study(
    question="what do styles that learnt from their own profit earn in later markets?",
    minutes=120,
    page="docs/studies/reinforcement.md",
)

MOST_LOST = 0.10


@dataclass(frozen=True)
class Settings:
    """What is refined and played.

    Attributes
    ----------
    config
        Of the training and the markets.
    refined
        Folder of the refined adapters; those that are there are not refined again.
    only
        Styles to refine; all by default.
    iterations
        Of the policy gradient; as `train-styles --reinforce` does by default.
    seeds
        Held-out markets of each cast.
    bundle
        An evolved population to try them in as well, if it is there.
    changes
        Of the config: any key with a dot, such as market.agents.
    """

    config: Path = Path(__file__).parents[1] / "quickstart.yaml"
    refined: Path = Path("runs/refined")
    only: tuple[str, ...] = ()
    iterations: int | None = None
    seeds: int = 64
    bundle: Path = Path("runs/quickstart/bundle")
    changes: tuple[str, ...] = ()


def run(settings: Settings, report: Report) -> Page:
    """Refine what is not refined yet, and play pairs of held-out markets."""
    config = load_config(settings.config, list(settings.changes))
    refine(settings, config, report)
    experiment = build_experiment(config)
    found = sorted(file.parent for file in settings.refined.glob(f"*/{PROVENANCE}"))
    refined = [path for path in found if path.name in (settings.only or names_of(found))]
    with closing(experiment.executor):
        casts = list_casts(experiment, refined, settings.bundle)
        with report.steps("validation and held-out markets", len(casts) + 1) as step:
            chosen = play_pairs(experiment, casts[0], refined, settings.seeds, validation=True)
            step()
            pairs = {}
            for cast in casts:
                pairs[cast.name] = play_pairs(experiment, cast, refined, settings.seeds)
                step()
    kept = agreements(config, settings.refined, refined)
    curves = {path.name: json.loads((path / PROVENANCE).read_text()) for path in refined}
    tell(pairs, kept, report)
    page = PAGE.format(
        command=report.command,
        config=settings.config.name,
        seeds=settings.seeds,
        agents=config.market.agents,
        days=config.market.days,
        heldout=" to ".join(config.splits.heldout),
        validation=" to ".join(config.splits.validation),
        train=" to ".join(config.splits.train),
        training=training_table(curves),
        agreement=agreement_table(kept),
        choice=choice(chosen, pairs[casts[0].name], list(kept)),
        verdict=verdict(pairs, kept),
        sections="\n".join(f"### {name}\n\n{pair_table(p)}\n" for name, p in pairs.items()),
    )
    return Page(page)


def refine(settings: Settings, config: ExperimentConfig, report: Report) -> None:
    """Refine the styles that are not refined yet, each with a bar of its own."""
    how = ReinforcementConfig()
    how = replace(how, iterations=settings.iterations or how.iterations)
    tasks: dict[str, TaskID] = {}
    with Progress(console=report.console, transient=True, redirect_stdout=False) as bar:

        def on_step(style: str, step: int, steps: int, found: object) -> None:
            if style not in tasks:
                tasks[style] = bar.add_task(f"refining {style}", total=steps)
            bar.update(tasks[style], completed=step)

        reinforce_styles(config, settings.refined, settings.only, how, on_step)


def agreements(
    config: ExperimentConfig, out: Path, refined: Sequence[Path]
) -> dict[str, tuple[Agreement, Agreement]]:
    """Measure agreement with the teachers before and after, on held-out windows."""
    shipped = config.minds.adapters
    before = measure_agreement(config, Path(shipped) if shipped else SHIPPED / "adapters")
    after = {a.style: a for a in measure_agreement(config, out)}
    names = names_of(refined)
    return {a.style: (a, after[a.style]) for a in before if a.style in names}


def tell(
    pairs: dict[str, dict[str, FloatArray]],
    kept: dict[str, tuple[Agreement, Agreement]],
    report: Report,
) -> None:
    """Tell every figure; its peer is the style as it was."""
    for cast, styles in pairs.items():
        for style, both in styles.items():
            for k, name in enumerate(MEASURES):
                mean, low, high = bootstrap_interval(both[:, 1, k] - both[:, 0, k])
                was, now = float(both[:, 0, k].mean()), float(both[:, 1, k].mean())
                report.figure(
                    f"{name}, {style}, in {cast}",
                    round(now, 4),
                    "basis points a day" if name == "profit" else "a year",
                    f"the style as it was: {was:.4f}",
                    round(now / was, 4) if was > 0 else None,
                    gain=round(mean, 4),
                    ci_low=round(low, 4),
                    ci_high=round(high, 4),
                )
    for style, (before, after) in kept.items():
        report.figure(
            f"agreement with the teacher, {style}",
            round(after.trained, 4),
            "part of held-out views",
            f"the style as it was: {before.trained:.4f}",
            round(after.trained / before.trained, 4),
        )


def show(values: FloatArray, sign: str = "") -> str:
    """Write a mean with its interval."""
    return write_interval(bootstrap_interval(values), sign=sign)


def choice(
    validation: dict[str, FloatArray], heldout: dict[str, FloatArray], styles: Sequence[str]
) -> str:
    """Say which refined styles validation windows would keep, and what those earn held out."""
    lines = [
        "| style | profit, validation | risk-adjusted, validation | kept | profit, held out | "
        "risk-adjusted, held out |",
        "|---" * 6 + "|",
    ]
    for style in styles:
        cells = [
            show(both[style][:, 1, k] - both[style][:, 0, k], "+")
            for both in (validation, heldout)
            for k in range(2)
        ]
        kept = "yes" if earns_more(validation[style]) else "no"
        lines.append(f"| {style} | {' | '.join([*cells[:2], kept, *cells[2:]])} |")
    kept_styles = [style for style in styles if earns_more(validation[style])]
    if kept_styles:
        gains = np.mean([heldout[s][:, 1] - heldout[s][:, 0] for s in kept_styles], axis=0)
        cells = [show(gains[:, k], "+") for k in range(2)]
        lines.append(f"| mean of those kept | | | | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(
    pairs: dict[str, dict[str, FloatArray]], kept: dict[str, tuple[Agreement, Agreement]]
) -> str:
    """Say of each refined style, in each cast, whether it does what was asked."""
    lines = []
    for style, (before, after) in kept.items():
        loss = before.trained - after.trained
        words = []
        for cast, styles in pairs.items():
            if style in styles:
                both = styles[style]
                gains = [bootstrap_interval(both[:, 1, k] - both[:, 0, k]) for k in range(2)]
                said = [_said(gain) for gain in gains]
                words.append(f"in {cast} profit {said[0]}, risk-adjusted profit {said[1]}")
        kept_style = "kept" if loss <= MOST_LOST else "LOST"
        lines.append(f"- **{style}**: {'; '.join(words)}; style {kept_style} ({-loss:+.1%}).")
    return "\n".join(lines)


def training_table(curves: dict[str, dict[str, list[float]]]) -> str:
    """Return the first and last steps of each training."""
    lines = [
        "| style | steps | reward of a decision, first and last, bp | nats from the style |",
        "|---|---|---|---|",
    ]
    for style, record in curves.items():
        rewards, nats = record["rewards_bp"], record["kl_nats"]
        lines.append(
            f"| {style} | {len(rewards)} | {rewards[0]:+.2f}, {rewards[-1]:+.2f} | {nats[-1]:.2f} |"
        )
    return "\n".join(lines)


def agreement_table(kept: dict[str, tuple[Agreement, Agreement]]) -> str:
    """Return agreement with the teacher before and after."""
    lines = ["| style | before | after | points lost |", "|---|---|---|---|"]
    for style, (before, after) in kept.items():
        lost = 100 * (before.trained - after.trained)
        lines.append(f"| {style} | {before.trained:.1%} | {after.trained:.1%} | {lost:+.1f} |")
    return "\n".join(lines)


def pair_table(styles: dict[str, FloatArray]) -> str:
    """Return a row a style: each measure before, and by how much it changed."""
    heads = ("profit, bp a day", "Sharpe of profit", "Sharpe of wealth")
    lines = [
        "| refined | " + " | ".join(f"{head} | change" for head in heads) + " |",
        "|---" * 7 + "|",
    ]
    for style, both in styles.items():
        cells = [
            cell
            for k in range(3)
            for cell in (show(both[:, 0, k]), show(both[:, 1, k] - both[:, 0, k], "+"))
        ]
        lines.append(f"| {style} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _said(gain: Interval) -> str:
    _, low, high = gain
    word = "rises" if low > 0 else "falls" if high < 0 else "undecided"
    return f"{word} ({write_interval(gain, sign='+')})"


PAGE = """# Reinforcement: styles that learn from their own profit

Written by `{command}`; do not edit.

Config {config}, real minds. Each style adapter was refined alone by policy gradient on what
its agents' trades earned (discounted over the days after), in simulated markets that begin in
training windows ({train}), among the other personas as they were, with a penalty for leaving the
style (docs/decisions/082). What it then earns is measured in other markets: {seeds} pairs with
other seeds, {agents} agents over {days} days, beginning in held-out windows ({heldout}), once with
the style as it was and once refined, all random numbers shared.

*Profit* is by trading: what an account gains over one that never trades, in basis points of its
starting wealth a day. Over all agents it sums to nothing: what one wins, others lose. *Sharpe of
profit* is its mean over its standard deviation, of a year, per agent and then averaged; *Sharpe of
wealth* is that of all that the account holds. Changes are means over the pairs with 95 % bootstrap
intervals.

## What validation windows keep, and what that earns held out

A refined style is kept where its profit or its risk-adjusted profit rises in {seeds} pairs of
markets that begin in validation windows ({validation}), interval and all; held-out windows have no
say. `train-styles --reinforce` says the same of what it refined. In the cast of the training:

{choice}

## What came out

{verdict}

## Training

{training}

## Style: exact five-way agreement with the teacher, held-out views, INT8

{agreement}

## Held-out markets

A style alone is refined, the others as they were; *all at once*: the same style where all in the
table are refined. In the evolved market these personas have their styles pure, on the bundle's
merged base, and nobody changes camps.

{sections}"""
