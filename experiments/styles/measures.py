"""Held-out measures of style adapters: agreement, calibration, confusion, what a choice was worth.

An adapter is held against its teacher and against the same profile by prompt alone, all on INT8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

from evobourse.agents.minds.choices import subtract_bias
from evobourse.agents.minds.voices import put_in_words
from evobourse.agents.observation import INVOCATION, render_rules, render_view
from evobourse.agents.styles import STYLES, teach
from evobourse.agents.training.examples import sample_views
from evobourse.agents.training.expert import HORIZON_DAYS, forward_returns
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.evolve.bases.opening import open_model
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.styles.supervised import (
    EXAMPLES,
    Stretch,
    read_teachers,
    stream,
    stretches,
)

if TYPE_CHECKING:
    from evobourse.agents.minds.engine import MindEngine

HELDOUT_VIEWS = 1000
BINS = 10
BLOCK_DAYS = 3 * HORIZON_DAYS
REPLICATES = 1000


@dataclass(frozen=True)
class Share:
    """A part of a number of views, with its 95 % interval (Wilson, 1927, JASA 22)."""

    value: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> Share:
        """Count bool[n]; NaN where there are none."""
        if not len(hits):
            return cls(float("nan"), float("nan"), float("nan"), 0)
        low, high = proportion_confint(int(hits.sum()), len(hits), method="wilson")
        return cls(float(hits.mean()), float(low), float(high), len(hits))


@dataclass(frozen=True)
class Reliability:
    """How often choices are right that are made with a confidence of `low` to `high`."""

    low: float
    high: float
    confidence: float
    right: float
    count: int


@dataclass(frozen=True)
class Predictive:
    """Rank correlation of mean tendencies with the standardised returns that followed.

    The 95 % interval is from circular blocks of `BLOCK_DAYS`, all assets of a day together
    (Politis and Romano, 1992).
    """

    correlation: float
    low: float
    high: float
    days: int
    assets: tuple[str, ...]


@dataclass(frozen=True)
class StyleMeasure:
    """One adapter on held-out days, exact five-way agreement as parts of 1.

    Attributes
    ----------
    style
        Its name, and its teacher's.
    provenance
        How it was made.
    trained
        The adapter with its teacher.
    bare, prompted
        The base without it, and the base with the style as a sentence between rules and view:
        as they answer or less their bias, whichever agrees more.
    sentence
        That sentence.
    unseen
        The adapter on views that its training data did not hold; NaN where none, or where that
        data cannot be drawn again.
    error
        Expected calibration error at temperature 1 (Guo et al., 2017, arXiv 1706.04599).
    reliability
        The bins that it is made of.
    confusion
        Teacher to how often the adapter chooses as that one.
    teachers
        Teacher to how often its own teacher chooses as that one.
    predictive
        Of a teacher that was fitted to returns.
    """

    style: str
    provenance: Mapping[str, Any]
    trained: Share
    bare: Share
    prompted: Share
    sentence: str
    unseen: Share
    error: float
    reliability: tuple[Reliability, ...]
    confusion: Mapping[str, float]
    teachers: Mapping[str, float]
    predictive: Predictive | None = None

    @property
    def margin(self) -> float:
        """By how much the adapter agrees more than the better of base and prompt."""
        return self.trained.value - max(self.bare.value, self.prompted.value)


def style_folders(folder: Path) -> list[Path]:
    """List the trained styles of a folder, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{PROVENANCE}"))


def open_styles(config: ExperimentConfig, folder: Path) -> MindEngine:
    """Open the base in INT8 with all styles of a folder."""
    storage = config.minds.storage()
    return open_model(config.minds.base, style_folders(folder), (), storage=storage).engine


def heldout_views(config: ExperimentConfig, count: int = HELDOUT_VIEWS) -> NDArray[np.int64]:
    """Draw masked views of held-out days of all assets, int64[count]."""
    levels = np.concatenate([stretch.levels for stretch in stretches(config, "heldout")])
    return sample_views(levels, count, config.minds.attention, stream(config, "held-out agreement"))


def measure_styles(
    config: ExperimentConfig,
    folder: Path,
    engine: MindEngine | None = None,
    count: int = HELDOUT_VIEWS,
) -> list[StyleMeasure]:
    """Measure every style adapter of a folder on held-out days.

    Parameters
    ----------
    config
        Base, series, splits, seed.
    folder
        Of adapter folders.
    engine
        From `open_styles`; None opens it.
    count
        Views.
    """
    engine = engine or open_styles(config, folder)
    names = [path.name for path in style_folders(folder)]
    minds = np.eye(len(names), dtype=np.float32)[:, None]
    views = heldout_views(config, count)
    bare = engine.answer(np.zeros_like(minds[0]), views)
    rows = []
    for path, mind in zip(style_folders(folder), minds, strict=True):
        made = json.loads((path / PROVENANCE).read_text())
        [style] = made["styles"]
        teachers = read_teachers(made)
        taught = {name: teach(name, views, teachers) for name in STYLES}
        logits = engine.answer(mind, views)
        right = logits.argmax(axis=1) == taught[style]
        sentence = put_in_words(mind, names).text
        prompted = answer_in_words(engine, sentence, views)
        error, reliability = calibrate(logits, taught[style])
        seen = _trained_on(config, made, path.name)
        new = np.zeros(len(views), bool) if seen is None else ~np.isin(views, seen)
        rows.append(
            StyleMeasure(
                style,
                made,
                Share.of(right),
                _best(bare, taught[style]),
                _best(prompted, taught[style]),
                sentence.strip(),
                Share.of(right[new]),
                error,
                reliability,
                _alike(logits.argmax(axis=1), taught),
                _alike(taught[style], taught),
                predict(config, engine, mind) if "teachers" in made else None,
            )
        )
    return rows


def answer_in_words(
    engine: MindEngine, sentence: str, views: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Ask the bare base with a sentence after the rules: option logits float32[n, 5]."""
    rules = render_rules() + sentence
    words = [render_view(int(v)).removeprefix(INVOCATION) for v in views]
    bare = np.zeros((engine.bank.blocks, len(engine.bank.adapters)), np.float32)
    return engine.answer_prompts(bare, [engine.text_prompt(rules, step) for step in words])


def calibrate(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, tuple[Reliability, ...]]:
    """Hold the confidence of choices against how often they are right.

    Parameters
    ----------
    logits
        float32[n, 5].
    labels
        int64[n], the teacher's choices.

    Returns
    -------
    tuple
        Expected calibration error, and the bins that hold any choice, by confidence.
    """
    chances = softmax(logits.astype(np.float64), axis=1)
    confidence = chances.max(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows = tuple(
        Reliability(b / BINS, (b + 1) / BINS, confidence[here].mean(), right[here].mean(), n)
        for b in range(BINS)
        for here in [place == b]
        if (n := int(here.sum()))
    )
    error = sum(row.count * abs(row.right - row.confidence) for row in rows) / len(labels)
    return float(error), rows


def predict(config: ExperimentConfig, engine: MindEngine, mind: NDArray[np.float32]) -> Predictive:
    """Correlate a mind's mean tendency on each held-out day with the return that followed it."""
    days = stretches(config, "heldout")
    rng = stream(config, "held-out returns")
    tendency, paid = [], []
    for stretch in days:
        levels = stretch.levels
        # One view a day: days in order, masks drawn as always.
        order = np.arange(len(levels))
        views = sample_views(levels, len(levels), config.minds.attention, rng, order)
        tendency.append(softmax(engine.answer(mind, views), axis=1) @ np.arange(-2.0, 3.0))
        paid.append(forward_returns(stretch.closes))
    return correlate(days, tendency, paid, stream(config, "held-out blocks"))


def correlate(
    days: Sequence[Stretch],
    tendency: Sequence[NDArray[np.float64]],
    paid: Sequence[NDArray[np.float64]],
    rng: np.random.Generator,
) -> Predictive:
    """Return the rank correlation over all assets, with its block bootstrap interval.

    Parameters
    ----------
    days
        The assets' stretches.
    tendency, paid
        One float64[days] an asset; NaN where no return is known.
    rng
        Of the blocks.
    """
    from arch.bootstrap import CircularBlockBootstrap

    dates = [
        s.series.dates[s.stop - len(known) : s.stop] for s, known in zip(days, paid, strict=True)
    ]
    calendar = np.unique(np.concatenate(dates))
    table = np.full((2, len(calendar), len(days)), np.nan)
    for asset, (when, said, known) in enumerate(zip(dates, tendency, paid, strict=True)):
        table[:, np.searchsorted(calendar, when), asset] = said, known

    def correlation(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        said, known = table[:, rows]
        there = np.isfinite(said) & np.isfinite(known)
        return np.array([spearmanr(said[there], known[there]).statistic])

    blocks = CircularBlockBootstrap(BLOCK_DAYS, np.arange(len(calendar)), seed=rng)
    low, high = np.quantile(blocks.apply(correlation, REPLICATES), [0.025, 0.975])
    whole = float(correlation(np.arange(len(calendar)))[0])
    count = int(np.isfinite(table[1]).sum())
    return Predictive(whole, float(low), float(high), count, tuple(s.series.name for s in days))


def _alike(choices: NDArray[np.int64], taught: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
    return {name: float((choices == labels).mean()) for name, labels in taught.items()}


def _best(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Share:
    """Count agreement of answers as they are, or less their bias, whichever is more."""
    ways = (logits, subtract_bias(logits.astype(np.float64)))
    shares = [Share.of(way.argmax(axis=1) == labels) for way in ways]
    return max(shares, key=lambda share: share.value)


def _trained_on(
    config: ExperimentConfig, made: Mapping[str, Any], name: str
) -> NDArray[np.int64] | None:
    """Draw an adapter's training views again; None where they were others."""
    held, [style] = made["series"].split(", "), made["styles"]
    training = replace(config.training, series=tuple(held))
    then = replace(config, training=training, seed=made["settings"]["seed"])
    levels = np.concatenate([stretch.levels for stretch in stretches(then, "train")])
    attention = made.get("attention", config.minds.attention)
    views = sample_views(levels, EXAMPLES, attention, stream(then, name))
    data = np.stack([views, teach(style, views, read_teachers(made))]).astype(np.int64)
    same = hashlib.sha256(data.tobytes()).hexdigest() == made["data_sha256"]
    return views if same else None
