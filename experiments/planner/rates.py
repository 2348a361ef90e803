"""How fast a machine works: measured on it and remembered, or else by the roofline.

The one source of all predictions: the plan, the dry run and the progress of a sweep.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evobourse.agents.minds.endpoint import is_endpoint
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.planner.chips import Chip, measure_processor
from evobourse.experiments.planner.roofline import (
    EFFICIENCY,
    MARKET_DECISIONS_PER_SECOND,
    SHARED_TOKENS,
    Load,
    count_views,
    fitting_rows,
    private_tokens,
    questions_seconds,
)
from evobourse.experiments.planner.shapes import ModelShape, find_shape
from evobourse.market.durable import replace_bytes
from evobourse.merge.sources import cache_folder

SERVED_ANSWER_S = 0.05
"""Of a server's answer, where none was timed."""

BASELINE_DAY_S = 0.02
"""Of fitting and playing all laws without agents, a day of a score's paths, where none was timed:
20 s for quickstart's four paths of 250 days (two cores, docs/decisions/109)."""

_MERGED_BYTES = 12.0
"""Bytes moved for a parameter of each model merged: read, added up and written as float32."""


@dataclass(frozen=True)
class Rates:
    """Seconds of one unit of each kind of work, with all workers that a config asks for.

    Attributes
    ----------
    answer_s
        Of a new answer of a mind, in a population's batches.
    merge_s
        Of a recipe carried out.
    decision_s, lesson_decision_s
        Of an agent's day in a market, and in one whose decisions are rewarded.
    baseline_day_s
        Of fitting and playing the laws without agents, a day of a score's paths.
    load_s
        Of opening the models.
    source
        Where the figures are from, in words.
    """

    answer_s: float
    merge_s: float
    decision_s: float
    lesson_decision_s: float
    baseline_day_s: float
    load_s: float
    source: str


def name_machine() -> str:
    """Name this machine as far as its speed goes: processor and cores that we may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def rates_file() -> Path:
    """Return where measured rates are remembered."""
    return cache_folder() / "rates.json"


def recall_rates(config: ExperimentConfig) -> Rates | None:
    """Return what was measured on this machine with a config's base and workers, if anything."""
    try:
        known = json.loads(rates_file().read_text()).get(_key(config))
        return None if known is None else Rates(**known)
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # a cache: what cannot be read is measured again


def remember_rates(config: ExperimentConfig, measured: Rates) -> None:
    """Keep what was measured; a cache that cannot be written is no trouble."""
    try:
        try:
            known = dict(json.loads(rates_file().read_text()))
        except (OSError, ValueError, TypeError):
            known = {}
        told = replace(measured, source=f"measured on this machine ({name_machine()})")
        known[_key(config)] = asdict(told)
        replace_bytes(rates_file(), (json.dumps(known, indent=2) + "\n").encode())
    except OSError:
        return


def find_rates(
    config: ExperimentConfig,
    chip: Chip | None = None,
    shape: ModelShape | None = None,
    load: Load | None = None,
) -> Rates:
    """Return what a plan counts with: of this machine measured rates, else the roofline's.

    Parameters
    ----------
    config
        Names base, personas and workers.
    chip
        Where the minds answer, if that is not this machine; markets run here.
    shape, load
        Of the base and of what its minds are asked; by default the config's.
    """
    known = recall_rates(config)
    if chip is None and known is not None:
        return known
    expected = roofline_rates(config, chip or measure_processor(seconds=0.3), shape, load)
    if known is None:
        return expected
    return replace(
        expected,
        decision_s=known.decision_s,
        lesson_decision_s=known.lesson_decision_s,
        baseline_day_s=known.baseline_day_s,
    )


def roofline_rates(
    config: ExperimentConfig,
    chip: Chip,
    shape: ModelShape | None = None,
    load: Load | None = None,
) -> Rates:
    """Price work on a chip, with what the engine got out of one so far; see `find_rates`."""
    workers = config.workers or len(os.sched_getaffinity(0))
    decision_s = 1 / MARKET_DECISIONS_PER_SECOND / workers
    shape = shape or _shape(config)
    answer_s = merge_s = 0.0
    if is_endpoint(config.minds.base):
        answer_s = SERVED_ANSWER_S / config.minds.endpoint.concurrency
    elif shape is not None:
        load = load or _load(config)
        rows = fitting_rows(shape, load, chip.memory) or 1
        answer_s = questions_seconds(shape, load, chip, rows) / load.minds / load.views / EFFICIENCY
        models = 3  # a base and, typically, two sources
        merge_s = models * _MERGED_BYTES * shape.parameters / chip.bandwidth / EFFICIENCY
    source = f"by the roofline of {chip.name}"
    fits = BASELINE_DAY_S
    return Rates(answer_s, merge_s, decision_s, 2 * decision_s, fits, 0.0, source)


def _load(config: ExperimentConfig) -> Load:
    attention = config.minds.attention
    minds, views = config.n_personas, count_views(attention)
    return Load(minds, views, SHARED_TOKENS, private_tokens(attention), blocks=config.minds.blocks)


def _shape(config: ExperimentConfig) -> ModelShape | None:
    """Find the base's shape; None where nobody knows, which a sweep finds out by itself."""
    try:
        return find_shape(config.minds.base)
    except ConfigError:
        return None


def _key(config: ExperimentConfig) -> str:
    minds = config.minds
    where = (name_machine(), config.executor.kind, config.workers, minds.base, minds.device)
    return " | ".join(map(str, where))
