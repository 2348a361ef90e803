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

from agents.encodings.encoded_minds import ENCODING, EncodedMinds
from agents.encodings.encoding import Encoding
from agents.encodings.window import real_windows, widen
from agents.examples import labelled_dataset, real_levels, sample_days
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
    widened: bool | None = None,
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
    widened
        Whether the price signs are one field, as encodings of numbers need (the default with
        those).

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
    encoding = Encoding(config.minds.encoding)
    if encoding.numeric and kind == "sources":
        raise ConfigError("--sources: sources are trained on words; set minds.encoding: words")
    widened = encoding.numeric if widened is None else widened
    wanted = [name for name in teachers if name in (only or teachers)]
    todo = [name for name in wanted if not (out / name / PROVENANCE).is_file()]
    if not todo:
        return []
    model, tokenizer = load_model(config.minds.base)
    for name in todo:
        examples = draw_examples(config, series, train, EXAMPLES, name, widened)
        provenance = {
            "styles": list(teachers[name]),
            "base": config.minds.base,
            "series": series.name,
            "series_sha256": series.content_hash,
            "years": list(config.splits.train),
            **({ENCODING: encoding.name} if encoding.numeric else {}),
        }

        def report(step: int, loss: float, name: str = name) -> None:
            on_step(name, step, settings.steps, loss)

        windows = examples.windows if encoding.numeric else None
        dataset = labelled_dataset(examples.views, teachers[name], windows)
        train_adapter(name, dataset, model, tokenizer, settings, out, provenance, report, encoding)
    return todo


def measure_agreement(
    config: ExperimentConfig,
    folder: Path,
    count: int = HELDOUT_VIEWS,
    widened: bool | None = None,
) -> list[Agreement]:
    """Compare every style adapter of a folder with its teacher on held-out windows, in INT8.

    ``widened`` as in `train_styles`.
    """
    series, train, _ = _splits(config)
    found = sorted(path.parent for path in folder.glob(f"*/{PROVENANCE}"))
    encoding = Encoding(config.minds.encoding)
    engine = open_model(config.minds.base, found, ()).engine
    minds = EncodedMinds(engine, encoding, found)
    widened = encoding.numeric if widened is None else widened
    drawn = heldout_examples(config, count, widened)
    views, windows = drawn.views, drawn.windows
    bare = minds.answer(np.zeros((1, len(found)), np.float32), views, windows).argmax(axis=1)
    rows = []
    for k, path in enumerate(found):
        [style] = json.loads((path / PROVENANCE).read_text())["styles"]
        mind = np.zeros((1, len(found)), np.float32)
        mind[0, k] = 1.0
        right = minds.answer(mind, views, windows).argmax(axis=1) == teach(style, views)
        seen = draw_examples(config, series, train, EXAMPLES, path.name, widened)
        new = ~np.isin(views, seen.views)
        unseen = float(right[new].mean()) if new.any() else float("nan")
        known = float((bare == teach(style, views)).mean())
        rows.append(Agreement(style, float(right.mean()), known, unseen, len(views)))
    return rows


@dataclass(frozen=True)
class Examples:
    """What an investor saw on real days: views int64[n] and windows float32[n, W]."""

    views: NDArray[np.int64]
    windows: NDArray[np.float32]


def draw_examples(
    config: ExperimentConfig,
    series: PriceSeries,
    split: Split,
    count: int,
    name: str,
    widened: bool,
) -> Examples:
    """Draw masked views of a split's days and the days' windows, from the stream of a name.

    The history before the split's first day counts as known. ``widened``: see
    `agents.encodings.window.widen`.
    """
    rows = slice(max(split.start - HISTORY_DAYS, 0), split.stop)
    levels = real_levels(series.close[rows], series.volume[rows])
    rng = np.random.default_rng([config.seed, *name.encode()])
    days, views = sample_days(levels, count, config.minds.attention, rng)
    if widened:
        views = widen(views, levels[days])
    return Examples(views, real_windows(series.close[rows])[days])


def heldout_examples(config: ExperimentConfig, count: int, widened: bool) -> Examples:
    """Draw what agreement is measured on, the same for every encoding."""
    series, _, heldout = _splits(config)
    return draw_examples(config, series, heldout, count, "held-out agreement", widened)


def _splits(config: ExperimentConfig) -> tuple[PriceSeries, Split, Split]:
    series = load_series(config.series, stock_splits=config.stock_splits)
    splits = config.splits.cut(series)
    return series, splits.train, splits.heldout
