"""Training the shipped styles and sources on real days of several assets.

The training loop is `agents.training.supervised`'s, all measuring `experiments.styles.measures`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.encodings.encoded_minds import ENCODING
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.encodings.window import real_windows, widen
from evobourse.agents.observation import HISTORY_DAYS
from evobourse.agents.styles import STYLES, TEACHERS, Policy, linear
from evobourse.agents.training.examples import labelled_dataset, real_levels, sample_days
from evobourse.agents.training.expert import fit_policy
from evobourse.agents.training.supervised import PROVENANCE, SOURCES, TrainingConfig, train_adapter
from evobourse.experiments.config.experiment import ASSETS, ExperimentConfig
from evobourse.experiments.errors import ConfigError
from evobourse.market.errors import SeriesError
from evobourse.market.series.named import PriceSeries, load_series
from evobourse.market.series.splits import SplitName
from evobourse.merge.sources import load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EXAMPLES = 6000
EXPERT = "expert"
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
class Stretch:
    """One asset's days of one split, the history before them included.

    Attributes
    ----------
    series
        The whole asset.
    start, stop
        Rows of the split's days and of the `HISTORY_DAYS` before, where there are so many.
    """

    series: PriceSeries
    start: int
    stop: int

    @property
    def closes(self) -> NDArray[np.float64]:
        """Closes float64[T]."""
        return self.series.close[self.start : self.stop]

    @property
    def volumes(self) -> NDArray[np.float64]:
        """Volumes float64[T]."""
        return self.series.volume[self.start : self.stop]

    @property
    def levels(self) -> NDArray[np.int64]:
        """Observed days, int64[T - HISTORY_DAYS, F]."""
        return real_levels(self.closes, self.volumes)

    @property
    def windows(self) -> NDArray[np.float32]:
        """Scaled returns before each of those days, float32[T - HISTORY_DAYS, W]."""
        return real_windows(self.closes)


@dataclass(frozen=True)
class StylePlan:
    """What `train_styles` is asked for.

    Attributes
    ----------
    kind
        ``styles``: one activated adapter a teacher; ``sources``: ordinary LoRA over all layers
        that makes a style-tuned full model when folded in.
    only
        Names to train; all if empty.
    steps, top_layers
        Override the kind's number of optimisation steps and of adapted layers (0 for all).
    int8
        Train on the base in INT8, as minds run on it.
    gradient_checkpointing
        See `agents.training.supervised.TrainingConfig`.
    widened
        Whether the price signs are one field, as encodings of numbers need; None for the
        encoding's own way.
    """

    kind: Literal["styles", "sources"] = "styles"
    only: tuple[str, ...] = ()
    steps: int | None = None
    top_layers: int | None = None
    int8: bool = False
    gradient_checkpointing: bool = False
    widened: bool | None = None

    def settings(self, seed: int) -> TrainingConfig:
        """Put together the loop's settings."""
        usual = STYLE_TRAINING if self.kind == "styles" else SOURCE_TRAINING
        return replace(
            usual,
            steps=self.steps or usual.steps,
            top_layers=usual.top_layers if self.top_layers is None else self.top_layers,
            seed=seed,
            gradient_checkpointing=self.gradient_checkpointing,
        )


def train_styles(
    config: ExperimentConfig,
    out: Path,
    plan: StylePlan,
    on_step: Callable[[str, int, int, float], None] = lambda name, step, steps, loss: None,
) -> list[str]:
    """Train every adapter of a kind that the folder does not hold yet.

    Parameters
    ----------
    config
        Series, training years, base and seed.
    out
        Folder of adapter folders; each is written whole or not at all, and one that is there
        is kept. An interrupted training goes on where it stopped.
    plan
        What is wanted.
    on_step
        Called with name, step, steps and loss.

    Returns
    -------
    list of str
        Names trained now.
    """
    teachers = {style: (style,) for style in STYLES} if plan.kind == "styles" else SOURCES
    if unknown := sorted(set(plan.only) - set(teachers)):
        raise ConfigError(f"--only {unknown[0]!r}: expected one of {', '.join(teachers)}")
    settings, encoding = plan.settings(config.seed), Encoding(config.minds.encoding)
    if encoding.numeric and plan.kind == "sources":
        raise ConfigError("--sources: sources are trained on words; set minds.encoding: words")
    widened = encoding.numeric if plan.widened is None else plan.widened
    wanted = [name for name in teachers if name in (plan.only or teachers)]
    todo = [name for name in wanted if not (out / name / PROVENANCE).is_file()]
    if not todo:
        return []
    days = stretches(config, "train")
    model, tokenizer = _open_base(config, plan.int8)
    for name in todo:
        examples = draw_examples(days, config, EXAMPLES, name, widened)
        taught = {EXPERT: _fit_expert(days)} if EXPERT in teachers[name] else {}
        provenance = {
            "styles": list(teachers[name]),
            "base": config.minds.base,
            "precision": "int8" if plan.int8 else "fp32",
            "series": ", ".join(stretch.series.name for stretch in days),
            "series_sha256": {s.series.name: s.series.content_hash for s in days},
            "years": list(config.splits.train),
            "attention": config.minds.attention,
            **({ENCODING: encoding.name} if encoding.numeric else {}),
            **({"teachers": taught} if taught else {}),
        }

        def report(step: int, loss: float, name: str = name) -> None:
            on_step(name, step, settings.steps, loss)

        policies = read_teachers({"teachers": taught})
        windows = examples.windows if encoding.numeric else None
        dataset = labelled_dataset(examples.views, teachers[name], policies, windows)
        train_adapter(name, dataset, model, tokenizer, settings, out, provenance, report, encoding)
    return todo


@dataclass(frozen=True)
class Examples:
    """What an investor saw on real days: views int64[n] and windows float32[n, W]."""

    views: NDArray[np.int64]
    windows: NDArray[np.float32]


def draw_examples(
    days: Sequence[Stretch], config: ExperimentConfig, count: int, name: str, widened: bool = False
) -> Examples:
    """Draw masked views of days and the days' windows, from the stream of a name.

    ``widened``: see `agents.encodings.window.widen`.
    """
    levels = np.concatenate([stretch.levels for stretch in days])
    windows = np.concatenate([stretch.windows for stretch in days])
    attention = config.minds.attention
    rows, views = sample_days(levels, count, attention, stream(config, name))
    if widened:
        views = widen(views, levels[rows])
    return Examples(views, windows[rows])


def read_teachers(provenance: Mapping[str, Any]) -> dict[str, Policy]:
    """Return all teachers, those fitted for an adapter in the place of the shipped ones."""
    fitted = provenance.get("teachers", {})
    return {**TEACHERS, **{name: linear(weights) for name, weights in fitted.items()}}


def stretches(config: ExperimentConfig, split: SplitName) -> list[Stretch]:
    """Cut one split out of every series that styles are trained on, at the same dates.

    A series that begins later or ends earlier is cut where it does.

    Raises
    ------
    SeriesError
        The experiment's own series, or one that `TrainingData` names, has too few days.
    """
    own, named = config.series[0], config.training.series
    found = []
    for name in named or dict.fromkeys((own, *ASSETS)):
        try:
            found.append(_stretch(config, name, split))
        except SeriesError:
            if named or name == own:
                raise
    return found


def stream(config: ExperimentConfig, name: str) -> np.random.Generator:
    """Open the random stream of a name."""
    return np.random.default_rng([config.seed, *name.encode()])


def _stretch(config: ExperimentConfig, name: str, split: SplitName) -> Stretch:
    series = load_series(
        name, stock_splits=config.stock_splits, suspended_days=config.suspended_days
    )
    dates = config.splits
    if name != config.series[0]:
        first, last = str(series.dates[0]), str(series.dates[-1])

        def clip(days: tuple[str, str]) -> tuple[str, str]:
            return max(days[0], first), min(days[1], last)

        dates = replace(
            dates,
            train=clip(dates.train),
            validation=clip(dates.validation),
            heldout=clip(dates.heldout),
            series_sha256=None,
        )
    rows = getattr(dates.cut(series), split)
    return Stretch(series, max(rows.start - HISTORY_DAYS, 0), rows.stop)


def _fit_expert(days: list[Stretch]) -> dict[str, float]:
    return fit_policy([(stretch.closes, stretch.volumes) for stretch in days])


def _open_base(
    config: ExperimentConfig, int8: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the base in fp32, or in INT8 straight onto accelerate's device."""
    if not int8:
        return load_model(config.minds.base)
    from accelerate import PartialState

    from evobourse.merge.engine.loading import load_quantized

    storage = config.minds.storage()
    if storage.quantizer != "groups":
        raise ConfigError(
            f"minds.quantizer: is {storage.quantizer!r}, and adapters are trained through our own "
            "INT8 alone; set minds.quantizer: groups, or leave --int8 out"
        )
    device = str(PartialState().device)
    placed = replace(storage, device=device, max_memory={}, compiled=False)
    model, tokenizer, _ = load_quantized(config.minds.base, placed)
    for part in (model.get_input_embeddings(), model.get_output_embeddings()):
        part.float()  # held in bf16 for engines, and transformers multiplies fp32 with it
    return model, tokenizer
