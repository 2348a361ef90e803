"""Training the shipped styles and sources, and measuring them on held-out windows.

Knows which teachers each adapter learns from and how agreement is counted. Deliberately
leaves the loop to `agents.training` and the answers to the INT8 engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agents.examples import labelled_dataset, real_levels, sample_views
from agents.observation import HISTORY_DAYS
from agents.styles import STYLES, teach
from agents.training import PROVENANCE, SOURCES, TrainingConfig, train_adapter
from evolve.bases import open_model
from experiments.config import ExperimentConfig
from experiments.errors import ConfigError
from market.series import PriceSeries, load_series
from market.splits import Split
from merge.sources import load_model

EXAMPLES = 6000
HELDOUT_VIEWS = 1000
STYLE_TRAINING = TrainingConfig()
SOURCE_TRAINING = TrainingConfig(
    rank=4,
    alpha=8,
    top_layers=0,
    activated=False,
    steps=30,
    batch=8,
    learning_rate=1.5e-3,
)


@dataclass(frozen=True)
class Agreement:
    """Exact five-way agreement with the teacher on held-out windows, as parts of 1.

    Attributes
    ----------
    style
        Whose teacher.
    trained, bare
        Of the adapter and of the base without it, both on INT8 weights.
    unseen
        Of the adapter on those views that its training data did not hold; NaN if none.
    views
        Number of held-out views.
    """

    style: str
    trained: float
    bare: float
    unseen: float
    views: int


def train_styles(
    config: ExperimentConfig,
    out: Path,
    kind: Literal["styles", "sources"],
    only: tuple[str, ...] = (),
    steps: int | None = None,
    top_layers: int | None = None,
    on_step: Callable[[str, int, int, float], None] = lambda name, step, steps, loss: None,
) -> list[str]:
    """Train every adapter of a kind that the folder does not hold yet.

    Parameters
    ----------
    config
        Series, training years, base and seed.
    out
        Folder of adapter folders; each is written whole or not at all, and one that is there
        is kept, so that an interrupted training goes on where it stopped.
    kind
        ``styles``: one activated adapter a teacher; ``sources``: ordinary LoRA over all layers
        that makes a style-tuned full model when folded in.
    only
        Names to train; all if empty.
    steps, top_layers
        Override the kind's number of optimisation steps and of adapted layers (0 for all).
    on_step
        Called with name, step, steps and loss.

    Returns
    -------
    list of str
        Names trained now.
    """
    teachers = {style: (style,) for style in STYLES} if kind == "styles" else SOURCES
    if unknown := sorted(set(only) - set(teachers)):
        raise ConfigError(f"--only {unknown[0]!r}: expected one of {', '.join(teachers)}")
    settings = STYLE_TRAINING if kind == "styles" else SOURCE_TRAINING
    layers = settings.top_layers if top_layers is None else top_layers
    settings = replace(settings, steps=steps or settings.steps, top_layers=layers, seed=config.seed)
    series, train, _ = _splits(config)
    levels = _levels(series, train)
    wanted = [name for name in teachers if name in (only or teachers)]
    todo = [name for name in wanted if not (out / name / PROVENANCE).is_file()]
    if not todo:
        return []
    model, tokenizer = load_model(config.minds.base)
    for name in todo:
        views = sample_views(levels, EXAMPLES, config.minds.attention, _stream(config, name))
        provenance = {
            "styles": list(teachers[name]),
            "base": config.minds.base,
            "series": series.name,
            "series_sha256": series.content_hash,
            "years": list(config.splits.train),
        }

        def report(step: int, loss: float, name: str = name) -> None:
            on_step(name, step, settings.steps, loss)

        dataset = labelled_dataset(views, teachers[name])
        train_adapter(name, dataset, model, tokenizer, settings, out, provenance, report)
    return todo


def measure_agreement(
    config: ExperimentConfig, folder: Path, count: int = HELDOUT_VIEWS
) -> list[Agreement]:
    """Compare every style adapter of a folder with its teacher on held-out windows, in INT8."""
    series, train, heldout = _splits(config)
    found = sorted(path.parent for path in folder.glob(f"*/{PROVENANCE}"))
    engine = open_model(config.minds.base, found, ()).engine
    stream = _stream(config, "held-out agreement")
    attention = config.minds.attention
    views = sample_views(_levels(series, heldout), count, attention, stream)
    train_levels = _levels(series, train)
    bare = engine.answer(np.zeros((1, len(found)), np.float32), views).argmax(axis=1)
    rows = []
    for k, path in enumerate(found):
        [style] = json.loads((path / PROVENANCE).read_text())["styles"]
        mind = np.zeros((1, len(found)), np.float32)
        mind[0, k] = 1.0
        right = engine.answer(mind, views).argmax(axis=1) == teach(style, views)
        seen = sample_views(train_levels, EXAMPLES, attention, _stream(config, path.name))
        new = ~np.isin(views, seen)
        unseen = float(right[new].mean()) if new.any() else float("nan")
        known = float((bare == teach(style, views)).mean())
        rows.append(Agreement(style, float(right.mean()), known, unseen, len(views)))
    return rows


def _splits(config: ExperimentConfig) -> tuple[PriceSeries, Split, Split]:
    series = load_series(config.series, stock_splits=config.stock_splits)
    splits = config.splits.cut(series)
    return series, splits.train, splits.heldout


def _levels(series: PriceSeries, split: Split) -> NDArray[np.int64]:
    """Observe a split's days; the history before the split's first day counts as known."""
    rows = slice(max(split.start - HISTORY_DAYS, 0), split.stop)
    return real_levels(series.close[rows], series.volume[rows])


def _stream(config: ExperimentConfig, name: str) -> np.random.Generator:
    return np.random.default_rng([config.seed, *name.encode()])
