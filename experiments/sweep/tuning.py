"""A sweep over settings: every candidate is a config, scored by the search that it makes.

It never reads a held-out window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.budget import count_paths
from evobourse.evolve.durable import replace_bytes
from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.genomes.gene import AnyGene, ChoiceGene, Gene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Segment, Values
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.loop import Evaluation, Observer, evolve
from evobourse.evolve.run_folder import RunFolder, read_json
from evobourse.evolve.searches.optuna import SCORE, OptunaSearch, Sampler
from evobourse.evolve.searches.search import candidate_id
from evobourse.evolve.tracking.follower import MlflowTracker
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.config.search import unchosen
from evobourse.experiments.config.sections import read_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.sweep.finalists import rank_finalists
from evobourse.experiments.sweep.pipeline import (
    make_budget,
    make_evaluator,
    make_teacher,
    pick_finalists,
    score_last_mean,
    tracking_view,
)
from evobourse.experiments.sweep.resume import start_run
from evobourse.experiments.sweep.searches import make_search, needed_measures
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import MOMENT_NAMES
from evobourse.market.errors import MarketError

DECISIONS = "decisions"
"""Name of a search's cost: decisions of agents in all its candidates' markets."""

_TUNING_KEY = 14
_MEASURED = ("validation", "train", DECISIONS)


@dataclass(frozen=True)
class Tuning:
    """What is varied, what is made small, and how long.

    Attributes
    ----------
    vary
        Such as ``search.cross.sigma_fast=0.2:0.8``, ``search.cross.fast_count=4:32:log`` (whole
        numbers where both ends are) or ``search.optimizer=cross|cma``. Settings of a search that a
        trial does not choose are left out there.
    trials, population
        Searches in all, and in a generation of them.
    objectives
        "score" (of the champion, by the geometric mean over fresh validation and training
        windows), "decisions" (what the search took), "validation", "train", or a part of the
        champion's evaluation; several are searched by NSGA-II.
    sampler
        Of Optuna; null for TPE, and for NSGA-II where there are several objectives.
    storage
        Address of a database that shows the trials; null for none.
    """

    vary: tuple[str, ...]
    trials: int = 20
    population: int = 4
    objectives: tuple[str, ...] = (SCORE,)
    sampler: Sampler | None = None
    storage: str | None = None


def run_tuning(
    tuning: Tuning,
    config_file: Path,
    overrides: Sequence[str],
    run_folder: RunFolder,
    observers: Sequence[Observer] = (),
    open_bases: Callable[[Experiment], Bases] = Experiment.open_bases,
) -> tuple[list[Candidate], str | None]:
    """Run or resume a sweep over settings; the same bytes whether or not it was broken off.

    Parameters
    ----------
    tuning
        What is varied.
    config_file, overrides
        The config that all trials share but for it.
    run_folder
        Holds the lineage of the trials, and a run's folder for each in ``trials``.
    observers
        See `evolve.loop.evolve`.
    open_bases
        Where the trials' minds come from.

    Returns
    -------
    candidates : list of Candidate
        The trials, in order.
    trouble : str or None
        What MLflow did not get.

    Raises
    ------
    ConfigError, EvolveError
        A setting cannot be varied so, or the folder holds something else.
    """
    config = load_config(config_file, overrides)
    genome = settings_genome(tuning.vary, config)
    _try_out(genome, config_file, overrides)
    known = (SCORE, *_MEASURED, "j", *MOMENT_NAMES, *needed_measures(config.search))
    if unknown := [name for name in tuning.objectives if name not in known]:
        raise ConfigError(f"--objective {unknown[0]!r}: use some of {', '.join(known)}")
    start_run(config, run_folder)
    if not run_folder.tuning.exists():  # another one is refused by what it changes
        replace_bytes(run_folder.tuning, _written(tuning).encode())
    several = len(tuning.objectives) > 1
    search = OptunaSearch(
        genome,
        tuning.population,
        tuning.sampler or ("nsga2" if several else "tpe"),
        np.random.SeedSequence(config.seed, spawn_key=(_TUNING_KEY,)),
        tuning.objectives,
        tuning.storage,
        f"{config.name}-tuning",
    )
    evaluator = TrialEvaluator(config_file, tuple(overrides), run_folder, open_bases)
    generations = math.ceil(tuning.trials / tuning.population)
    tracker = MlflowTracker(tracking_view(config, run_folder))
    try:
        found = evolve(run_folder, genome, search, evaluator, generations, config.seed, observers)
    finally:
        trouble = tracker.close()
    return found, trouble


def read_objectives(run_folder: RunFolder, config: ExperimentConfig) -> tuple[str, ...]:
    """Name what a run's candidates were ranked by: a sweep's, or a sweep's over settings."""
    file = run_folder.tuning
    if file.exists():
        said = read_yaml(file, "the tuning.yaml of a run")
        if not isinstance(said, dict) or not isinstance(said.get("objectives"), list):
            raise ConfigError(f"{file}: damaged (it has no objectives); restore it")
        return tuple(map(str, said["objectives"]))
    return config.search.optuna.objectives if config.search.optimizer == "optuna" else (SCORE,)


def settings_genome(vary: Sequence[str], config: ExperimentConfig) -> Genome:
    """Make a gene of each setting; it starts at the config's value where that lies within.

    Raises
    ------
    ConfigError
        A range that cannot be read.
    GenomeError
        Bounds that do not fit together, or a setting twice.
    """
    genes: dict[str, list[AnyGene]] = {}
    for text in vary:
        key, equals, values = text.partition("=")
        section, dot, name = key.partition(".")
        if not (equals and dot and section and name and values):
            raise ConfigError(
                f"--vary {text!r}: expected section.key=LOW:HIGH, LOW:HIGH:log or A|B|C, "
                "as in search.cross.sigma_fast=0.2:0.8"
            )
        genes.setdefault(section, []).append(_gene(text, name, values, _current(config, key)))
    if not genes:
        raise ConfigError(
            "nothing is varied; name a setting, as in --vary search.cross.sigma_fast=0.2:0.8"
        )
    return Genome(tuple(Segment(section, tuple(of)) for section, of in genes.items()))


def as_overrides(values: Values) -> list[str]:
    """Write gene values as a config's ``key=value``; the sections of other searches go empty."""
    written = [f"{s}.{name}={value}" for s, of in values.items() for name, value in of.items()]
    optimizer = values.get("search", {}).get("optimizer")
    if optimizer is None:
        return written
    return [*written, *(f"search.{name}=null" for name in unchosen(optimizer))]


@dataclass
class TrialEvaluator:
    """Scores settings by running the search that they make; an `evolve.loop.Evaluator`.

    All trials share the config's seed, hence their windows and market draws as far as their
    settings allow. A trial cut off by a kill goes on from its own checkpoint.

    Attributes
    ----------
    config_file, overrides
        The config that all trials share.
    run_folder
        Gets a run's folder for each trial.
    open_bases
        Opens a trial's models, once for trials whose ``minds`` are the same.
    """

    config_file: Path
    overrides: tuple[str, ...]
    run_folder: RunFolder
    open_bases: Callable[[Experiment], Bases]
    _opened: tuple[Any, Bases] | None = field(init=False, default=None)

    def evaluate(
        self,
        generation: int,
        genomes: list[list[Values]],
        seed: np.random.SeedSequence,
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score settings [S][1]."""
        rows = []
        for s, [values] in enumerate(genomes):
            rows.append([self._trial(candidate_id(generation, s), values)])
            on_progress(len(rows), len(genomes))
        return rows

    def _trial(self, name: str, values: Values) -> Evaluation:
        folder = RunFolder(self.run_folder.trials / name)
        done = folder.trial
        if done.exists():
            return _read(read_json(done))
        try:
            config = load_config(self.config_file, [*self.overrides, *as_overrides(values)])
            start_run(config, folder)
            found = self._search(config, folder)
        except RunError:  # such as a full disk: no fault of the settings
            raise
        except (ConfigError, EvolveError, FitnessError, MarketError) as error:
            found = Evaluation(math.inf, {}, None, (), str(error))
        replace_bytes(done, json.dumps(asdict(found)).encode())
        return found

    def _search(self, config: ExperimentConfig, folder: RunFolder) -> Evaluation:
        """Run a search, choose its champion, and say what both are worth."""
        experiment = build_experiment(config)
        with closing(experiment.executor):
            return self._search_in(experiment, folder)

    def _search_in(self, experiment: Experiment, folder: RunFolder) -> Evaluation:
        config = experiment.config
        genome = experiment.market_genome
        search = make_search(
            config.search, genome.genome(), genome.slow_segments(), experiment.search_seed()
        )
        bases = self._bases(experiment)
        evaluator = make_evaluator(experiment, bases)
        candidates = evolve(
            folder,
            genome.genome(),
            search,
            evaluator,
            config.search.generations,
            config.seed,
            budget=make_budget(config, folder),
            teacher=make_teacher(experiment, bases),
        )
        candidates.append(score_last_mean(experiment, evaluator, folder)[0])
        if all(c.score is None for c in candidates):
            return Evaluation(math.inf, {}, None, (), f"every candidate: {candidates[-1].failure}")
        finalists = pick_finalists(candidates, config.selection.champions, folder)
        best = rank_finalists(experiment, bases, finalists, lambda finalist: None)[0]
        played = config.market.agents * config.market.days * len(config.series)
        parts = {
            **best.candidate.parts,
            "validation": best.validation,
            "train": best.train,
            DECISIONS: float(played * count_paths(candidates, config.search.memetic).sum()),
        }
        recipe = {"champion": best.candidate.id, "model": best.candidate.recipe}
        return Evaluation(best.score, parts, recipe, (config.seed,), None)

    def _bases(self, experiment: Experiment) -> Bases:
        """Open the bases, or take the last trial's where they are here and the same."""
        if experiment.config.executor.kind != "local":
            return self.open_bases(experiment)
        minds = experiment.config.minds
        if self._opened is None or self._opened[0] != minds:
            self._opened = minds, self.open_bases(experiment)
        return self._opened[1]


def _gene(text: str, name: str, values: str, now: Any) -> AnyGene:
    if "|" in values:
        choices = tuple(values.split("|"))
        return ChoiceGene(name, choices, str(now) if str(now) in choices else choices[0])
    low, _, rest = values.partition(":")
    high, _, log = rest.partition(":")
    if log not in ("", "log"):
        raise ConfigError(f"--vary {text!r}: scale is {log!r}; write log, or leave it out")
    scale: Any = log or "linear"
    try:
        least, most = float(low), float(high)
    except ValueError as error:
        why = f"--vary {text!r}: {values!r} is no range; write LOW:HIGH or A|B|C"
        raise ConfigError(why) from error
    middle = math.sqrt(least * most) if log and least > 0 else (least + most) / 2
    start = now if isinstance(now, int | float) and least <= now <= most else middle
    if low.isdecimal() and high.isdecimal():
        return IntegerGene(name, int(low), int(high), round(start), scale)
    return Gene(name, least, most, float(start), scale)


def _current(config: ExperimentConfig, key: str) -> Any:
    """Return a config's value; None where only a run of its own would have one."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def _try_out(genome: Genome, config_file: Path, overrides: Sequence[str]) -> None:
    """Refuse settings that no config has, with any of the searches, before anything is run."""
    start = genome.to_values(genome.start_vector())
    load_config(config_file, [*overrides, *as_overrides(start)])
    for segment in genome.segments:
        for gene in segment.genes:
            if (segment.name, gene.name) == ("search", "optimizer"):
                for optimizer in getattr(gene, "choices", ()):
                    start["search"]["optimizer"] = optimizer
                    load_config(config_file, [*overrides, *as_overrides(start)])


def _read(written: dict[str, Any]) -> Evaluation:
    return Evaluation(**{**written, "seeds": tuple(written["seeds"])})


def _written(tuning: Tuning) -> str:
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(tuning).items()}
    return yaml.safe_dump(plain, sort_keys=False)
