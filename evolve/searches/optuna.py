"""Optuna's samplers behind the interface of every search: mixed genes, one or several objectives.

A database only shows the trials: none is ever read to decide anything.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from evobourse.evolve.errors import EvolveError, hide_password
from evobourse.evolve.genomes.gene import AnyGene, ChoiceGene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.searches.search import FAILED_FACTOR, FlatOptimizer, Vector, candidate_id

Sampler = Literal["tpe", "random", "cma", "qmc", "nsga2"]

SCORE = "score"
"""Name of the score among the objectives."""


class OptunaSearch(FlatOptimizer):
    """Search a genome with one of Optuna's samplers; an `evolve.searches.search.Optimizer`.

    The first candidate is the genome's start. The study lives in memory and is pickled with
    the search. A database, if named, is written after every generation and can be watched with
    Optuna's dashboard; it is caught up with after a break, and losing it costs nothing.

    Parameters
    ----------
    genome : Genome
    population : int
        Candidates of a generation; of ``nsga2`` its population.
    sampler : {"tpe", "random", "cma", "qmc", "nsga2"}
        Tree-structured Parzen estimator (Bergstra et al., 2011), uniform, CMA-ES, a scrambled
        Sobol sequence, or NSGA-II (Deb et al., 2002), the one for several objectives.
    seed : numpy.random.SeedSequence
        Read, never spawned from.
    objectives : tuple of str
        What is made small: "score", or names of an evaluation's parts; several need ``nsga2``.
    storage : str, optional
        Address of a database, as in ``sqlite:///trials.db`` or ``postgresql://host/name``.
    study_name : str
        Name of the study in the database.

    Raises
    ------
    EvolveError
        When sampler and objectives do not fit together, or the database cannot be used.
    """

    def __init__(
        self,
        genome: Genome,
        population: int,
        sampler: Sampler,
        seed: np.random.SeedSequence,
        objectives: tuple[str, ...] = (SCORE,),
        storage: str | None = None,
        study_name: str = "evobourse",
    ) -> None:
        if (sampler == "nsga2") != (len(objectives) > 1) or not objectives:
            raise EvolveError(
                f"sampler {sampler!r} with objectives {list(objectives)}: 'nsga2' needs two or "
                "more, every other sampler one"
            )
        super().__init__(
            genome,
            population,
            {
                "optimizer": "optuna",
                "sampler": sampler,
                "objectives": objectives,
                "search_seed": (seed.entropy, tuple(seed.spawn_key)),
            },
        )
        import optuna

        self._storage, self._study_name = storage, study_name
        self._mirror: Any = None
        self._names = {
            f"{segment.name}.{gene.name}": (segment.name, gene.name)
            for segment in genome.segments
            for gene in segment.genes
        }
        self._space = {
            f"{s.name}.{gene.name}": _distribution(gene)
            for s in genome.segments
            for gene in s.genes
        }
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            directions=["minimize"] * len(objectives),
            sampler=_make_sampler(sampler, population, int(seed.generate_state(1)[0])),
        )
        self.inject(genome.to_values(genome.start_vector()))
        self._trials: list[Any] = []
        self._worst = np.full(len(objectives), np.nan)
        if storage is not None:
            try:
                self._mirror = self._open_mirror()
            except Exception as error:  # SQLAlchemy's, the driver's, Optuna's
                raise EvolveError(f"search.optuna.storage {_brief(storage, error)}") from error

    def ask(self) -> list[Values]:
        """Propose a generation."""
        self._trials = [self._study.ask(self._space) for _ in range(self.population)]
        proposal: list[Values] = []
        for trial in self._trials:
            values: Values = {segment.name: {} for segment in self.genome.segments}
            drawn = trial.params  # a deep copy, made at every look
            for key, (segment_name, gene_name) in self._names.items():
                values[segment_name][gene_name] = drawn[key]
            proposal.append(values)
        return proposal

    def inject(self, values: Values) -> None:
        """Have gene values as the first that is proposed next."""
        self._study.enqueue_trial({key: values[s][g] for key, (s, g) in self._names.items()})

    def archive(self) -> list[dict[str, Any]]:
        """List the candidates that no other beats in every objective; for one objective, none."""
        names = self.settings["objectives"]
        if len(names) < 2:
            return []
        front = [t for t in self._study.best_trials if not t.user_attrs["failed"]]
        return [
            {"candidate": t.user_attrs["candidate"], **dict(zip(names, t.values, strict=True))}
            for t in sorted(front, key=lambda t: t.number)
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the connection to the database."""
        return {**self.__dict__, "_mirror": None}

    def _learn(self, scores: Vector, parts: list[Mapping[str, float]]) -> None:
        from optuna.trial import TrialState

        values = np.array(
            [self._objectives(score, part) for score, part in zip(scores, parts, strict=True)]
        )
        failed = ~np.isfinite(values).all(axis=1)
        if not failed.all():
            self._worst = np.fmax(self._worst, values[~failed].max(axis=0))
        worse = self._worst + (FAILED_FACTOR - 1.0) * np.abs(self._worst)
        for i, trial in enumerate(self._trials):
            trial.set_user_attr("candidate", candidate_id(self._told, i))
            trial.set_user_attr("failed", bool(failed[i]))
            if not failed[i]:
                self._study.tell(trial, values[i].tolist())
            elif np.isfinite(worse).all():
                self._study.tell(trial, worse.tolist())
            else:
                self._study.tell(trial, state=TrialState.FAIL)
        self._show()

    def _objectives(self, score: float, parts: Mapping[str, float]) -> list[float]:
        if not np.isfinite(score):
            return [np.inf for _ in self.settings["objectives"]]
        known = {**parts, SCORE: score}
        for name in self.settings["objectives"]:
            if name not in known:
                raise EvolveError(
                    f"search.objectives: no evaluation has a part {name!r}; "
                    f"use some of {', '.join(known)}"
                )
        return [float(known[name]) for name in self.settings["objectives"]]

    def _show(self) -> None:
        """Add to the database what it does not have yet; trouble is noted, and tried again."""
        if self._storage is None:
            return
        try:
            self._mirror = self._mirror or self._open_mirror()
            shown = len(self._mirror.get_trials(deepcopy=False))
            self._mirror.add_trials(self._study.get_trials(deepcopy=False)[shown:])
        except Exception as error:  # a database's death must not end the search
            self._mirror = None
            note = f"generation {self._told}: search.optuna.storage {_brief(self._storage, error)}"
            self.notes.append(note)

    def _open_mirror(self) -> Any:
        import optuna

        mirror = optuna.create_study(
            storage=self._storage,
            study_name=self._study_name,
            directions=self._study.directions,
            load_if_exists=True,
        )
        sweep = hashlib.sha256(repr((self.settings, self.genome)).encode()).hexdigest()
        if mirror.user_attrs.get("sweep", sweep) != sweep:
            raise EvolveError(
                f"its study {self._study_name!r} is another sweep's; name another database"
            )
        mirror.set_user_attr("sweep", sweep)
        return mirror


def _make_sampler(sampler: Sampler, population: int, seed: int) -> Any:
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if sampler == "tpe":
            return samplers.TPESampler(seed=seed)
        if sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if sampler == "cma":
            return samplers.CmaEsSampler(
                seed=seed,
                with_margin=True,
                popsize=max(population, 5),
                warn_independent_sampling=False,
            )
        if sampler == "qmc":
            return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
        return samplers.NSGAIISampler(seed=seed, population_size=max(population, 2))


def _distribution(gene: AnyGene) -> Any:
    from optuna import distributions

    if isinstance(gene, ChoiceGene):
        return distributions.CategoricalDistribution(gene.choices)
    log = gene.scale == "log"
    if isinstance(gene, IntegerGene):
        return distributions.IntDistribution(gene.low, gene.high, log=log)
    return distributions.FloatDistribution(gene.low, gene.high, log=log)


def _brief(storage: str, error: Exception) -> str:
    return f"{hide_password(storage)}: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
