"""A cast or a market written out: YAML under comments that say where each part comes from.

The files are to be read, and changed, before they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evobourse.agents.casts.backgrounds import Background, draw_backgrounds, measure_diversity
from evobourse.agents.casts.sentence import Described, read_sentence
from evobourse.agents.casts.terms import read_market
from evobourse.agents.minds.voices import SENTENCES
from evobourse.agents.styles import FIRST_STYLES, STYLES
from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.config.cast import read_cast
from evobourse.experiments.config.scenario import Scenario
from evobourse.experiments.config.sections import read_section
from evobourse.experiments.errors import ConfigError

Guess = Callable[[str], tuple[str, float]]
"""A word to the style that fits it best, and by how much it does better than the next."""

FIT_RULES = (
    "You sort investors by what they are like. You read a word about an investor and a habit, and "
    "answer with one letter how well the word fits the habit: A not at all, B hardly, C somewhat, "
    "D well, E very well."
)


def write_sentence(
    sentence: str,
    guess: Guess | None = None,
    seed: int = 1,
    styles: Sequence[str] = FIRST_STYLES,
) -> tuple[str, list[str]]:
    """Write the cast that a sentence describes.

    Parameters
    ----------
    sentence
        See `agents.casts.sentence.read_sentence`.
    guess
        Asked for the style of adjectives that no table has; None to leave them.
    seed
        Of the backgrounds of those who are to be diverse.
    styles
        Those of the bundle that the cast is for; no other is given to anybody.

    Returns
    -------
    str, list of str
        The YAML, and the words that were not understood.

    Raises
    ------
    AgentError, ConfigError
        The sentence names nobody.
    """
    parts, lost = _write_members(read_sentence(sentence), guess, seed, styles)
    head = [f"# From: {' '.join(sentence.split())}"]
    if lost:
        head.append(f"# Not understood: {', '.join(lost)}")
    return _file(head, parts), lost


def write_market(
    sentence: str, cast: str, styles: Sequence[str] = FIRST_STYLES
) -> tuple[str, str | None]:
    """Write the market that a sentence describes: its scenario, and who trades in it.

    Parameters
    ----------
    sentence
        See `agents.casts.terms.read_market`.
    cast
        The cast's file as the scenario names it.
    styles
        Those of the bundle that it is for; no other is given to anybody.

    Returns
    -------
    str, str or None
        The scenario's YAML, and the cast's; None where nobody is named but traders that follow
        rules, who stand beside the bundle's own personas.

    Raises
    ------
    AgentError, ConfigError
        A word is not understood, or a value is out of range.
    """
    found = read_market(sentence)
    raw: dict[str, Any] = {}
    if found.turns:
        raw["turns"] = list(found.turns)
    if found.terms:
        raw["stock"] = found.terms
    reasons, text = list(found.reasons), None
    if all(member.values.get("kind") == "rule" for member in found.members):
        if found.asset is not None:
            raise ConfigError(
                f"asset {found.asset} is named, and nobody who trades it; say who, as in 'six "
                f"classes of {found.asset} traders', or leave it out"
            )
        beside: dict[str, int] = {}
        for member in found.members:
            key = str(member.values["rule"]).replace("-", "_")
            beside[key] = beside.get(key, 0) + int(member.values["count"])
            reasons += member.reasons
        raw |= {"beside": beside} if beside else {}
    else:
        parts, lost = _write_members(found.members, None, 1, styles)
        if lost:
            raise ConfigError(f"not understood: {', '.join(lost)}")
        asset = {"name": found.asset, "series": found.series}
        given = {key: value for key, value in asset.items() if value}
        head = [f"# From: {' '.join(sentence.split())}"]
        raw["cast"], text = cast, _file(head, parts, [given] if given else [])
    read_section(Scenario, raw, "the scenario written")  # what is written can be read
    lines = [
        f"# From: {' '.join(sentence.split())}",
        *(f"# {reason}" for reason in reasons),
        "# Read it, change what is wrong, then: evobourse simulate RUN/bundle --scenario FILE",
    ]
    written = yaml.safe_dump(raw, sort_keys=False, default_flow_style=None) if raw else "{}\n"
    return "\n".join(lines) + "\n" + written, text


def save_market(sentence: str, file: Path, styles: Sequence[str] = FIRST_STYLES) -> dict[str, Path]:
    """Write the market that a sentence describes: its scenario, and a cast beside it if need be.

    Parameters
    ----------
    sentence, styles
        See `write_market`.
    file
        The scenario's; its folder is made.

    Returns
    -------
    dict of str to Path
        What was written: ``scenario``, and ``cast`` if there is one.
    """
    made = {"scenario": file, "cast": file.with_suffix(".cast.yaml")}
    for path, text in zip(
        list(made.values()), write_market(sentence, made["cast"].name, styles), strict=True
    ):
        if text is None:
            del made["cast"]
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(path, text.encode())
    return made


def _write_members(
    members: Sequence[Described], guess: Guess | None, seed: int, styles: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Write members; return them, and the words that were not understood."""
    lost: list[str] = []
    parts = []
    for described in members:
        values, reasons = described.values, described.reasons
        styled = {"style", "mixture", "kind"} & values.keys()
        for word in described.left:
            if guess is None or styled:
                lost.append(word)
                continue
            style, margin = guess(word)
            values["style"], styled = style, {"style"}
            reasons.append(f"{word}: style {style} (guessed by the model, margin {margin:.2f})")
        lost += described.lost
        if described.diverse:
            parts.append(_diverse(described, seed, styles))
        else:
            lost += _drop_strange(values, styles)
            parts.append(_member(values, [f'"{described.phrase}": {"; ".join(reasons)}']))
    return parts, lost


def write_diverse(
    count: int, seed: int, styles: Sequence[str] = FIRST_STYLES
) -> tuple[str, dict[str, float]]:
    """Write a cast of people of whom no two are alike; return it and how different they are."""
    backgrounds = draw_backgrounds(count, np.random.default_rng(seed), styles)
    measured = measure_diversity(backgrounds)
    head = [
        f"# {count} different backgrounds, seed {seed}. Gower's distance of pairs: least "
        f"{measured['least']:.3f}, mean {measured['mean']:.3f}."
    ]
    members = [_person(b, number, {}) for number, b in enumerate(backgrounds, 1)]
    return _file(head, members), measured


def ask_model(base: str) -> Guess:
    """Open a base and let it judge which style's habit fits a word best.

    It rates every habit by a forced choice (`agents.minds.engine.MindEngine`), less its rating
    beside no word at all.

    Raises
    ------
    merge.errors.ModelError
        There is no such base.
    ConfigError
        It is a server.
    """
    from evobourse.evolve.bases.opening import open_bases

    minds: Any = open_bases(base, (), ()).serve(None)
    if not hasattr(minds, "answer_prompts"):
        raise ConfigError(f"cast: base {base!r} takes no prompts; name a model that runs here")
    mind = np.zeros((1, 0), np.float32)

    def rate(word: str) -> np.ndarray:
        texts = [f" {word}; {SENTENCES[style]} ->" for style in STYLES]
        prompts = [minds.text_prompt(FIT_RULES, text) for text in texts]
        logits = minds.answer_prompts(mind, prompts).astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds @ np.arange(5) / odds.sum(axis=1))

    nothing = rate("N/A")

    def guess(word: str) -> tuple[str, float]:
        fits = rate(word) - nothing
        best, next_best = np.argsort(-fits)[:2]
        return STYLES[best], float(fits[best] - fits[next_best])

    return guess


def _drop_strange(values: dict[str, Any], styles: Sequence[str]) -> list[str]:
    """Take styles away that are not there; say which."""
    named = [values["style"]] if "style" in values else list(values.get("mixture", ()))
    kept = [style for style in named if style in styles]
    strange = [style for style in named if style not in styles]
    if strange:
        values.pop("style", None)
        values.pop("mixture", None)
    if strange and len(kept) == 1:
        values["style"] = kept[0]
    elif strange and kept:
        values["mixture"] = dict.fromkeys(kept, round(1 / len(kept), 3))
    return [f"style {style}, which the bundle lacks" for style in strange]


def _diverse(described: Described, seed: int, styles: Sequence[str]) -> str:
    count = described.values["count"]
    kept = {k: v for k, v in described.values.items() if k in ("never_sees", "only_sees")}
    backgrounds = draw_backgrounds(count, np.random.default_rng(seed), styles)
    members = [_person(b, number, kept) for number, b in enumerate(backgrounds, 1)]
    return f'# "{described.phrase}": {"; ".join(described.reasons)}\n' + "".join(members)


def _person(one: Background, number: int, kept: dict[str, Any]) -> str:
    values = {
        "name": f"{one.occupation.replace(' ', '-')}-{number:03d}",
        "background": one.sentence,
        "mixture": one.mixture,
        "temperature": one.temperature,
        "horizon_days": one.horizon_days,
        "wealth": one.wealth,
        "receptivity": one.receptivity,
    }
    if "only_sees" not in kept:
        hidden = [*one.never_sees, *kept.get("never_sees", [])]
        kept = {"never_sees": list(dict.fromkeys(hidden))} if hidden else {}
    return _member({**values, **kept}, [])


def _member(values: dict[str, Any], comments: Sequence[str]) -> str:
    text = yaml.safe_dump(
        [values], sort_keys=False, allow_unicode=True, width=96, default_flow_style=None
    )
    return "".join(f"# {comment}\n" for comment in comments) + text


def _file(head: list[str], members: Sequence[str], assets: Sequence[dict[str, Any]] = ()) -> str:
    lines = [
        *head,
        "# Read it, change what is wrong, then: evobourse simulate RUN/bundle --cast FILE",
    ]
    text = "\n".join(lines) + "\n"
    if assets:
        text += yaml.safe_dump({"assets": list(assets)}, sort_keys=False, default_flow_style=None)
    text += "members:\n" + "".join(members)
    read_cast(yaml.safe_load(text), "the cast written")  # what is written can be read
    return text
