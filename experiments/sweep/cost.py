"""What a sweep will cost, before it starts: counted from its config, priced at measured rates.

What costs neither models nor markets nor fits is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evobourse.agents.styles import STYLES
from evobourse.evolve.genomes.market import MarketGenome
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.memetic.settings import LESSON_CANDIDATES
from evobourse.evolve.searches.search import Optimizer
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.planner.rates import Rates, find_rates, recall_rates
from evobourse.experiments.sweep.pace import Pace, Work, count_answers, measure_rates
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.fitness.conditional.energy import MEMBERS, WINDOW_DAYS

MLFLOW_FACTOR = 6.0
"""Bytes in MLflow's database for one in the lineage (measured, docs/decisions/044)."""

MEAN_IS_BEST = 3
"""CMA-ES selects half of its proposals: of so many, one, which becomes the mean."""

_BASELINE_CASTS = 3  # unevolved, random tendencies, rule-based
_SHIPPED_BYTES = 2_000_000  # report, pictures, tape and tables of a bundle


def plan_search(config: ExperimentConfig, search: Optimizer) -> list[Work]:
    """Count each generation's work, that of what the search ends at last.

    In the cross, a slow turn asks the minds of each slow proposal; then the mean has moved, and
    is asked anew in the next generation that keeps it, unless it is the best proposal itself. In
    the other searches every candidate has minds of its own. Races may stop some of them early.
    """
    paths, cross = config.candidate_markets, config.search.optimizer == "cross"
    slow_count, slow_every = (
        (search.settings["slow_count"], search.settings["slow_every"]) if cross else (1, 1)
    )
    plan, mean_is_known = [], False
    for generation in range(config.search.generations + 1):
        if generation == config.search.generations:
            rows, candidates, slow = 1, 1, False
        else:
            candidates = search.planned_candidates(generation)
            slow = slow_count > 1 and (generation + 1) % slow_every == 0
            rows = slow_count if slow else 1
        casts = candidates if not cross else rows if slow or not mean_is_known else 0
        plan.append(Work(candidates, candidates * paths, casts))
        mean_is_known = not slow or slow_count <= MEAN_IS_BEST
    return plan


def plan_lessons(config: ExperimentConfig, coefficients: int) -> list[Work]:
    """Count the work of each generation's lesson, whose minds have so many coefficients.

    A step asks each persona's mind and those with one coefficient moved; what the last step leads
    to is asked as a candidate. The pupil is known. Wherever somebody may have a score by then a
    lesson is counted.
    """
    lessons, work = config.search.memetic, Work()
    plan = [work] * (config.search.generations + 1)
    if lessons is None:
        return plan
    markets = lessons.paths + LESSON_CANDIDATES * config.candidate_markets
    probes = max(lessons.steps * (1 + coefficients) - 2, 0)
    work = Work(LESSON_CANDIDATES, markets, 2, probes, lessons.paths)
    for generation in range(lessons.every, config.search.generations, lessons.every):
        plan[generation] = work
    return plan


def plan_judging(config: ExperimentConfig) -> tuple[Work, Work]:
    """Count the work of choosing the champion and of the scoreboard with its bundle."""
    selection, paths = config.selection, config.candidate_markets
    finalists = selection.champions
    choosing = Work(0, finalists * 2 * selection.validation_groups * paths, finalists)
    markets = (2 + 1 + _BASELINE_CASTS) * _markets_of_row(config)  # the champion on three splits
    markets += (1 + _BASELINE_CASTS) * _markets_after_pasts(config)
    return choosing, Work(0, markets + 1, 2, baselines=len(config.series))


def _markets_of_row(config: ExperimentConfig) -> int:
    return config.selection.heldout_groups * config.candidate_markets


def _markets_after_pasts(config: ExperimentConfig) -> int:
    """Count the ensembles that follow real pasts in markets of the usual days, about."""
    first, last = np.array(config.splits.heldout, dtype="datetime64[M]").astype(int).tolist()
    quarters = int(last - first + 1) // 3
    days = quarters * MEMBERS * WINDOW_DAYS * len(config.series)
    return round(days / config.market.days)


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep will do, and how long each unit of it takes.

    Attributes
    ----------
    searching, teaching
        Work of each generation that will run, without and with its lesson's; of the first, what
        the search ends at comes last.
    choosing, judging
        Of choosing the champion, and of the scoreboard with its bundle.
    pace
        Seconds of each unit.
    ends
        Why the search will end, in words.
    """

    searching: tuple[Work, ...]
    teaching: tuple[Work, ...]
    choosing: Work
    judging: Work
    pace: Pace
    ends: str

    @property
    def parts(self) -> dict[str, Work]:
        """Name the parts of the sweep."""
        search, lessons = (sum(some, Work()) for some in (self.searching, self.teaching))
        taught = {"lessons": lessons} if lessons.markets else {}
        return {"search": search, **taught, "choosing": self.choosing, "judging": self.judging}

    @property
    def total(self) -> Work:
        """All of the work."""
        return sum(self.parts.values(), Work())

    @property
    def seconds(self) -> float:
        """Price all of it, loading included."""
        return self.pace.seconds(self.total) + self.pace.load_s


def plan_sweep(experiment: Experiment, search: Optimizer, rates: Rates) -> SweepPlan:
    """Count what a sweep will do, within its budget at a machine's rates."""
    config, genome = experiment.config, experiment.market_genome
    searching = plan_search(config, search)
    teaching = plan_lessons(config, genome.blocks * len(genome.styles))
    pace = Pace.of(rates, config)
    kept, ends = _within_budget(config, searching, teaching, pace)
    choosing, judging = plan_judging(config)
    if set(genome.styles) - set(STYLES):  # no rule-based row, see the scoreboard
        judging += Work(0, -_markets_of_row(config) - _markets_after_pasts(config), 0)
    searched = (*searching[:kept], searching[-1])
    return SweepPlan(searched, tuple(teaching[:kept]), choosing, judging, pace, ends)


def plan_config(config: ExperimentConfig, rates: Rates) -> SweepPlan:
    """Count what a config's sweep will do, see `plan_sweep`."""
    return _plan(build_experiment(config), rates)


def _plan(experiment: Experiment, rates: Rates) -> SweepPlan:
    genome, seed = experiment.market_genome, experiment.search_seed()
    how, slow = experiment.config.search, genome.slow_segments()
    return plan_sweep(experiment, make_search(how, genome.genome(), slow, seed), rates)


def estimate(config: ExperimentConfig, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Count and time a sweep.

    Parameters
    ----------
    config
        Of the sweep.
    say
        Prints a line; where given, what nobody has measured on this machine is measured first.

    Returns
    -------
    dict
        Plain JSON: ``parts`` by name and ``total``, each with candidates, markets,
        simulated_days, decisions, forward_passes (at most) and seconds; ``disk_bytes``;
        ``generations`` that will run and ``ends``, the reason in words; ``rates`` of the machine
        and their source; with memetic steps ``lessons``: how many (``count``), ``steps`` and
        ``markets`` in all of them.
    """
    experiment = build_experiment(config)
    if say is not None and recall_rates(config) is None:
        measure_rates(experiment, say)
    rates = find_rates(config)
    plan = _plan(experiment, rates)
    pace, parts, memetic = plan.pace, plan.parts, config.search.memetic
    views = count_answers(config)
    market = config.market

    def tell(work: Work) -> dict[str, float]:
        days = work.markets * market.days
        return {
            "candidates": work.candidates,
            "markets": work.markets,
            "simulated_days": days,
            "decisions": days * market.agents,
            "forward_passes": (work.casts + work.probes) * views,
            "seconds": round(pace.seconds(work), 1),
        }

    total = plan.total
    told = {name: tell(work) for name, work in parts.items()}
    copied = sum(_bytes(folder) for folder in (*experiment.adapters, *experiment.sources))
    disk = total.candidates * _line_bytes(experiment.market_genome) * (1 + MLFLOW_FACTOR)
    whole = tell(total) | {"seconds": round(plan.seconds, 1)}
    cost = {
        "parts": told,
        "total": whole,
        "disk_bytes": round(disk + copied + _SHIPPED_BYTES),
        "generations": len(plan.searching) - 1,
        "ends": plan.ends,
        "workers": experiment.executor.workers,
        "rates": asdict(rates),
    }
    if memetic is not None and "lessons" in parts:
        count = sum(work.lesson_markets > 0 for work in plan.teaching)
        steps, markets = count * memetic.steps, parts["lessons"].lesson_markets
        cost["lessons"] = {"count": count, "steps": steps, "markets": markets}
    return cost


def _line_bytes(genome: MarketGenome) -> int:
    """Count the bytes of a candidate's line in the lineage."""
    values = genome.genome().to_values(genome.genome().start_vector())
    recipe = genome.recipe(values)
    written = recipe.to_dict() if recipe else None
    return len(Candidate("g000-s00-f00", 0, (), values, written, (0,), 1.0, {}, None).to_json())


def _within_budget(
    config: ExperimentConfig, searching: list[Work], teaching: list[Work], pace: Pace
) -> tuple[int, str]:
    """Count the generations before a budget ends a plan, and say why it ends there."""
    budget, market, generations = config.budget, config.market, config.search.generations
    decisions, seconds = 0, 0.0
    for generation in range(generations):
        work = searching[generation] + teaching[generation]
        decisions += work.markets * market.days * market.agents
        seconds += pace.seconds(work)
        by = None
        if budget.max_decisions is not None and decisions > budget.max_decisions:
            by = "by the decision budget"
        elif budget.max_minutes is not None and seconds > 60 * budget.max_minutes:
            by = "by the time budget, about"
        if by is not None:
            return generation, f"{by} after {generation} of {generations}"
    words = f"after all {generations}, or before when nothing more can be learned"
    return generations, words


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
