"""A run that is begun or taken up again, and held to the config and the series that decide it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from evobourse.agents.errors import CapReached
from evobourse.evolve.durable import replace_bytes
from evobourse.evolve.errors import RunError
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import ExecutorConfig, ExperimentConfig, load_config
from evobourse.experiments.config.minds import MindConfig
from evobourse.market.series.splits import read_split_dates

if TYPE_CHECKING:
    from evobourse.experiments.sweep.setup import Experiment


def start_run(config: ExperimentConfig, run_folder: RunFolder) -> None:
    """Create a run folder that holds its config, or give its run other limits.

    Raises
    ------
    RunError
        The folder holds a run whose config differs in more than what decides no result (workers,
        memo, budget of memory, how hard a server may be driven), or cannot be written.
    """
    file = run_folder.config
    if (
        run_folder.has_begun
        and file.exists()
        and _deciding(open_run(run_folder)) != _deciding(config)
    ):
        raise RunError(
            f"{run_folder} holds a run with another config; resume it with "
            f"'evobourse resume {shlex.quote(str(run_folder))}', or name another folder with --run"
        )
    run_folder.path.mkdir(parents=True, exist_ok=True)
    replace_bytes(file, config.to_yaml().encode())


@contextmanager
def withdraw_if_refused(run_folder: RunFolder) -> Iterator[None]:
    """Remove a folder that this call has made if its sweep is refused before it begins."""
    new = not run_folder.path.exists()
    try:
        yield
    except CapReached:
        raise  # a higher cap takes it up again
    except Exception:
        left = set(run_folder.path.iterdir()) if new and run_folder.path.exists() else set()
        if left and left <= {run_folder.config, run_folder.splits}:
            shutil.rmtree(run_folder.path)
        raise


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


def open_run(run_folder: RunFolder, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read the config of a run folder, with ``key=value`` overrides."""
    run_folder.require()
    return load_config(run_folder.config, overrides)


def freeze_splits(experiment: Experiment, run_folder: RunFolder) -> None:
    """Note the splits and the series' hash; a run that has begun goes on with that series alone."""
    file, splits = run_folder.splits, experiment.config.splits
    if file.exists() and run_folder.has_begun:
        read_split_dates(file).cut(experiment.series, experiment.config.market.days)
    else:
        replace_bytes(file, splits.freeze(experiment.series).to_yaml().encode())
