"""The toolkit from Python: what ``import evobourse`` offers, over what the commands call too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.cli.progress import watch_sweep
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.scoring.daily import read_daily
from evobourse.experiments.scoring.series import SeriesScore, score_series
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.bundle import open_population as open_place
from evobourse.experiments.sweep.resume import open_run, start_run
from evobourse.market.series.named import SplitPolicy, SuspensionPolicy
from evobourse.market.tape.daily_tape import Tape

__all__ = ["OpenPopulation", "Run", "evolve", "load", "open_population", "score"]


@dataclass(frozen=True)
class Run:
    """A sweep's run, read from its folder; of one that is not done, what there is.

    Attributes
    ----------
    folder : RunFolder
        Where its files lie.
    """

    folder: RunFolder

    @cached_property
    def config(self) -> ExperimentConfig:
        """Every setting."""
        return open_run(self.folder)

    @property
    def candidates(self) -> list[Candidate]:
        """All that were scored, in order."""
        return Lineage(self.folder.lineage).read()

    @property
    def scoreboard(self) -> pd.DataFrame:
        """The champion beside every baseline, a row each; null stands for what failed."""
        return pd.DataFrame(self.folder.read_scoreboard())

    @cached_property
    def champion(self) -> OpenPopulation:
        """The chosen population; its models are loaded the first time."""
        return open_place(self.folder.bundle)


def evolve(
    config: str | Path,
    *,
    generations: int | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Run:
    """Evolve a population to its scoreboard, report and bundle.

    The same call again goes on where it was broken off, or returns what is there.

    Parameters
    ----------
    config
        A config's file, or the name of a shipped one: ``quickstart``.
    generations
        Instead of the config's.
    out
        The run's folder; ``runs/NAME`` by default.
    settings
        Other values of the config by dotted key, as in ``{"budget.max_minutes": 30}``.
    progress
        Whether to show it; by default on a terminal alone.

    Raises
    ------
    ConfigError
        A setting is unknown, or has a wrong value.
    RunError
        The folder holds another run, or cannot be written.
    """
    changes = {**(settings or {})}
    if generations is not None:
        changes["search.generations"] = generations
    read = load_config(config, _overrides(changes))
    folder = RunFolder(Path(out) if out is not None else Path("runs") / read.name)
    start_run(read, folder)
    if not folder.is_finished:
        shown = Console().is_terminal if progress is None else progress
        watch_sweep(read, folder, Console(quiet=not shown))
    return Run(folder)


def load(folder: str | Path) -> Run:
    """Read a run that a sweep has left.

    Raises
    ------
    RunError
        There is none.
    """
    run = Run(RunFolder(Path(folder)))
    run.config  # noqa: B018 - refuses a folder without a run
    return run


def open_population(place: str | Path, settings: Mapping[str, Any] | None = None) -> OpenPopulation:
    """Open an exported population, or the one that a config's sweep begins with.

    Parameters
    ----------
    place
        A bundle's folder, such as ``runs/a/bundle``, or a config as `evolve` takes it.
    settings
        Of a config, as `evolve` takes them.

    Raises
    ------
    ConfigError
        Settings for a bundle, or that are unknown.
    RunError
        The bundle is malformed, or its base is not the one that it was exported with.
    """
    return open_place(place, _overrides(settings or {}))


def score(
    series: str | Path | Tape,
    against: str | Path = "sp500",
    *,
    window_days: int | None = None,
    split: str | None = None,
    stock_splits: SplitPolicy = "refuse",
    suspended_days: SuspensionPolicy = "refuse",
    seed: int = 0,
    tried: int = 1,
) -> SeriesScore:
    """Hold a tape, or any price series, against a real market.

    Parameters
    ----------
    series
        A tape, its folder, a CSV or Parquet file with date and close, or a name.
    against
        The real series: a file, or sp500, nasdaq, wti, vix, aapl, fb, goog, ibm, msft.
    window_days
        Days in a window; 250 by default, or all if there are fewer.
    split
        Days of the real series, ``FROM:TO`` in ISO dates; all by default.
    stock_splits
        What to do about prices that look unadjusted for a stock split.
    suspended_days
        What to do about days on which nothing was traded.
    seed
        Of the real windows' bootstrap.
    tried
        Configurations that the series is the best of; it stands beside the score.

    Raises
    ------
    ConfigError, MarketError, FitnessError
        A series that cannot be read, or is too short; the message says why.
    """
    scored = read_daily(series, None, stock_splits, suspended_days)
    real = read_daily(against, split, stock_splits, suspended_days)
    return score_series(scored, real, window_days, seed, tried)


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as a config's ``key=value``; JSON is YAML."""
    return [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]
