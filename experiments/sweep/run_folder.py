"""A run's folder: its files' names, how it is begun, opened and held to its config and series.

Knows what decides a run's result. Deliberately knows nothing of how a sweep goes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evobourse.evolve.durable import replace_bytes
from evobourse.evolve.errors import RunError
from evobourse.evolve.loop import CHECKPOINT_FOLDER
from evobourse.experiments.config.experiment import ExecutorConfig, ExperimentConfig, load_config
from evobourse.experiments.config.minds import MindConfig
from evobourse.experiments.sweep.setup import Experiment
from evobourse.market.series.splits import read_split_dates

CONFIG_FILE = "config.yaml"
SPLITS_FILE = "splits.yaml"
CHAMPION_FILE = "champion.json"
SCOREBOARD_FILE = "scoreboard.json"
REPORT_FILE = "report.png"
BUNDLE_FOLDER = "bundle"
SEARCH_FILE = "search.yaml"
ARCHIVE_FILE = "archive.csv"


def start_run(config: ExperimentConfig, run_folder: Path) -> None:
    """Create a run folder that holds its config, or give its run other limits.

    Raises
    ------
    RunError
        The folder holds a run whose config differs in more than what decides no result (workers,
        memo, budget of memory, how hard a server may be driven), or cannot be written.
    """
    file = run_folder / CONFIG_FILE
    begun = (run_folder / CHECKPOINT_FOLDER).exists()
    if begun and file.exists() and _deciding(open_run(run_folder)) != _deciding(config):
        raise RunError(
            f"{run_folder} holds a run with another config; resume it with "
            f"'evobourse resume {run_folder}', or name another folder with --run"
        )
    run_folder.mkdir(parents=True, exist_ok=True)
    replace_bytes(file, config.to_yaml().encode())


def _deciding(config: ExperimentConfig) -> ExperimentConfig:
    """Set what decides no result to its default."""
    free = MindConfig()
    minds = replace(
        config.minds,
        memo=free.memo,
        memory_bytes=free.memory_bytes,
        kv_budget_bytes=free.kv_budget_bytes,
        endpoint=free.endpoint,
    )
    return replace(config, minds=minds, workers=0, executor=ExecutorConfig())


def open_run(run_folder: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read the config of a run folder, with ``key=value`` overrides."""
    if not (run_folder / CONFIG_FILE).is_file():
        raise RunError(f"{run_folder}: no run there (no {CONFIG_FILE}); name a run's folder")
    return load_config(run_folder / CONFIG_FILE, overrides)


def freeze_splits(experiment: Experiment, run_folder: Path) -> None:
    """Note the splits and the series' hash; a run that has begun goes on with that series alone."""
    file, splits = run_folder / SPLITS_FILE, experiment.config.splits
    if file.exists() and (run_folder / CHECKPOINT_FOLDER).exists():
        read_split_dates(file).cut(experiment.series, experiment.config.market.days)
    else:
        replace_bytes(file, splits.freeze(experiment.series).to_yaml().encode())


def read_champion(run_folder: Path) -> str | None:
    """Return the id of a run's champion; None before there is one."""
    try:
        return str(json.loads((run_folder / CHAMPION_FILE).read_text())["champion"])
    except FileNotFoundError:
        return None
