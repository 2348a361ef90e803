"""A sweep from its config to its bundle: evolve, choose, judge, draw, export."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import yaml

from evobourse.evolve import checkpoint
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.budget import Budget
from evobourse.evolve.durable import replace_bytes
from evobourse.evolve.errors import RunError, hide_password
from evobourse.evolve.evaluation import Asset, MarketEvaluator
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.loop import Observer, evolve, generation_seed
from evobourse.evolve.memetic.teacher import MindTeacher
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.search import Optimizer, candidate_id
from evobourse.evolve.timings import Timings
from evobourse.evolve.tracking.follower import MlflowTracker, View
from evobourse.evolve.watching import Begin, unwatched
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.lineage_picture import draw_candidate
from evobourse.experiments.reports.paths import paths_to_bytes
from evobourse.experiments.reports.run_page import ReportData, save_report
from evobourse.experiments.sweep.export import export_bundle
from evobourse.experiments.sweep.finalists import rank_finalists
from evobourse.experiments.sweep.judging import Verdict, judge_champion
from evobourse.experiments.sweep.resume import freeze_splits
from evobourse.experiments.sweep.rows import finite_row
from evobourse.experiments.sweep.searches import make_search, needed_measures
from evobourse.experiments.sweep.setup import Experiment, build_experiment


@dataclass(frozen=True)
class Outcome:
    """What a finished sweep leaves: its folder, its champion, the scoreboard, why it ended."""

    run_folder: RunFolder
    champion: str
    verdict: Verdict
    stopped: str
    tracking_uri: str
    tracking_trouble: str | None


def run_sweep(
    config: ExperimentConfig,
    run_folder: RunFolder,
    screen: Callable[[Optimizer, MarketEvaluator], Observer],
    say: Callable[[str], None],
    begin: Begin = unwatched,
) -> Outcome:
    """Run or resume a sweep to its end.

    Parameters
    ----------
    config
        Of the run; the folder holds the same.
    run_folder
        See docs/reference.md for its files.
    screen
        Makes the observer that shows progress.
    say
        Prints a line of news.
    begin
        Hears what is being done.
    """
    experiment = build_experiment(config)
    with closing(experiment.executor):
        return _run(experiment, run_folder, screen, say, begin)


def _run(
    experiment: Experiment,
    run_folder: RunFolder,
    screen: Callable[[Optimizer, MarketEvaluator], Observer],
    say: Callable[[str], None],
    begin: Begin,
) -> Outcome:
    config, market_genome = experiment.config, experiment.market_genome
    search = make_search(
        config.search,
        market_genome.genome(),
        market_genome.slow_segments(),
        experiment.search_seed(),
        config.name,
    )
    freeze_splits(experiment, run_folder)
    say(
        f"{experiment.series.name}: {len(experiment.series)} days; "
        f"opening {' and '.join((config.minds.base, *config.other_bases))} "
        f"with {len(experiment.adapters)} styles"
    )
    begin("open", 1, lambda: 0)
    bases = experiment.open_bases()
    evaluator = replace(make_evaluator(experiment, bases), begin=begin)
    tracker = MlflowTracker(
        tracking_view(config, run_folder), partial(draw_candidate, target=evaluator.target)
    )
    try:
        champion, candidates = search_champion(
            experiment,
            bases,
            evaluator,
            search,
            run_folder,
            (screen(search, evaluator),),
            say,
            begin,
        )
        say(f"champion {champion.id}; reading the held-out windows, once")
        tried = len(candidates)
        verdict = judge_champion(experiment, bases, champion, run_folder, tried, begin)
        begin("write", 1, lambda: 0)
        rows = json.dumps([finite_row(row) for row in verdict.rows], indent=2) + "\n"
        replace_bytes(run_folder.scoreboard, rows.encode())
        replace_bytes(run_folder.paths, paths_to_bytes(verdict.real, verdict.simulated))
        save_report(_report(experiment, verdict, candidates), run_folder.report)
        export_bundle(experiment, bases, champion, verdict.rows, run_folder.bundle)
    finally:
        trouble = tracker.close()
    uri = tracker.view.tracking_uri
    stopped = run_folder.read_stop() or ""
    return Outcome(run_folder, champion.id, verdict, stopped, uri, trouble)


def search_champion(
    experiment: Experiment,
    bases: Bases,
    evaluator: MarketEvaluator,
    search: Optimizer,
    run_folder: RunFolder,
    observers: Sequence[Observer],
    say: Callable[[str], None],
    begin: Begin = unwatched,
) -> tuple[Candidate, list[Candidate]]:
    """Evolve, or go on where the folder's sweep was left, and choose; nothing held out is read.

    Returns
    -------
    tuple
        The champion, and all candidates, the search's end among them.
    """
    config = experiment.config
    candidates = evolve(
        run_folder,
        experiment.market_genome.genome(),
        search,
        evaluator,
        config.search.generations,
        config.seed,
        observers,
        make_budget(config, run_folder),
        make_teacher(experiment, bases),
    )
    say(f"the search has ended: {run_folder.read_stop() or ''}")
    last, found = score_last_mean(experiment, evaluator, run_folder)
    _record_search(found, run_folder, say)
    candidates.append(last)
    return _champion(experiment, bases, candidates, run_folder, say, begin), candidates


def make_evaluator(experiment: Experiment, bases: Bases) -> MarketEvaluator:
    """Set up the scoring of candidates on training windows."""
    search = experiment.config.search
    others = tuple(
        Asset(one.windows, one.splits.train, one.target(one.splits.train))
        for one in experiment.assets[1:]
    )
    return MarketEvaluator(
        experiment.windows,
        experiment.splits.train,
        experiment.target(experiment.splits.train),
        experiment.market_genome,
        bases,
        experiment.executor,
        needed_measures(search),
        search.rungs,
        others=others,
        cells=search.optimizer == "niches",
    )


def make_teacher(experiment: Experiment, bases: Bases) -> MindTeacher | None:
    """Set up the training between generations, if the config asks for any."""
    if experiment.config.search.memetic is None:
        return None
    return MindTeacher(
        experiment.windows,
        experiment.splits.train,
        experiment.market_genome,
        bases,
        experiment.config.search.memetic,
        experiment.executor,
    )


def make_budget(config: ExperimentConfig, run_folder: RunFolder) -> Budget:
    """Set up what the search may use, less what earlier sessions of the run have used."""
    market = config.market
    return Budget(
        Timings(run_folder.timings),
        config.budget.max_minutes,
        config.budget.max_decisions,
        market.agents * market.days * len(config.series),
        market.paths,
        config.search.memetic,
    )


def tracking_view(config: ExperimentConfig, run_folder: RunFolder) -> View:
    """Say where a run's MLflow view lies, and which settings stand on its first page."""
    settings = config.settings()
    if config.search.optuna.storage is not None:
        settings["search"]["optuna"]["storage"] = hide_password(config.search.optuna.storage)
    params = {
        "base": config.minds.base,
        "seed": config.seed,
        "series": ", ".join(config.series),
        **{name: settings[name] for name in ("market", "search", "selection", "budget")},
    }
    return View.of(run_folder, config.mlflow_uri, run_name=config.name, params=params)


def score_last_mean(
    experiment: Experiment, evaluator: MarketEvaluator, run_folder: RunFolder
) -> tuple[Candidate, Optimizer]:
    """Score what the search ends at, a generation of its own: the least lucky of all proposals."""
    state = checkpoint.load(run_folder.checkpoint)
    generation = state["generation"]
    values = state["search"].best_guess()
    seed = generation_seed(experiment.config.seed, generation)
    [[found]] = evaluator.evaluate(generation, [[values]], seed, lambda done, total: None)
    failed = not np.isfinite(found.score)
    candidate = Candidate(
        id=candidate_id(generation, 0),
        generation=generation,
        parents=state["parents"],
        genome=values,
        recipe=found.recipe,
        seeds=found.seeds,
        score=None if failed else found.score,
        parts=found.parts,
        failure=found.failure,
    )
    lineage = Lineage(run_folder.lineage)
    lineage.truncate_to(generation)
    lineage.append([candidate])
    return candidate, state["search"]


def _record_search(search: Optimizer, run_folder: RunFolder, say: Callable[[str], None]) -> None:
    """Write down how the search ended, and what it found beside one best candidate."""
    record = {"notes": search.notes, "stop": search.stop(), "readings": search.readings}
    replace_bytes(run_folder.search, yaml.safe_dump(record, sort_keys=False).encode())
    for line in search.notes:
        say(line)
    if found := search.archive():
        table = pd.DataFrame(found).to_csv(index=False, lineterminator="\n")
        replace_bytes(run_folder.archive, table.encode())
        say(f"{len(found)} candidates in {run_folder.archive}")


def pick_finalists(
    candidates: Sequence[Candidate], count: int, run_folder: RunFolder
) -> list[Candidate]:
    """Return whom to play again: the latest generations' bests, the best ever, and the last.

    The best score ever seen is nearly always luck, and a search ends near better ones. So half of
    the places go to the best candidate of each of the latest generations; what is left goes to the
    best scores of all, and one to the last that did not fail: where the search ended. Their scores
    so far decide no more (docs/decisions/135-who-is-played-again.md).

    Raises
    ------
    RunError
        Every candidate failed.
    """
    alive = [c for c in candidates if c.score is not None]
    if not alive:
        reason = candidates[-1].failure
        raise RunError(f"{run_folder}: every candidate failed, the last one with: {reason}")
    ranked = sorted(alive, key=lambda c: (c.score, c.id))
    last = alive[-1]
    bests = {c.generation: c for c in reversed(ranked) if c is not last}
    latest = [bests[generation] for generation in sorted(bests, reverse=True)]
    recent = latest[: count // 2]
    others = [c for c in ranked if c not in recent and c is not last]
    return [*recent, *others[: max(0, count - 1 - len(recent))], last][-count:]


def _champion(
    experiment: Experiment,
    bases: Bases,
    candidates: Sequence[Candidate],
    run_folder: RunFolder,
    say: Callable[[str], None],
    begin: Begin,
) -> Candidate:
    chosen = run_folder.read_champion()
    if chosen is not None:
        return next(c for c in candidates if c.id == chosen)
    finalists = pick_finalists(candidates, experiment.config.selection.champions, run_folder)
    say(f"choosing among {len(finalists)} finalists, on fresh seeds: validation, training windows")
    ranking = rank_finalists(
        experiment,
        bases,
        finalists,
        lambda f: say(f"  {f.candidate.id}  {f.validation:8.2f} {f.train:8.2f}"),
        begin,
    )
    record = {
        "champion": ranking[0].candidate.id,
        "stopped": run_folder.read_stop(),
        "finalists": [
            finite_row({"id": f.candidate.id, "validation": f.validation, "train": f.train})
            for f in ranking
        ],
    }
    replace_bytes(run_folder.champion, (json.dumps(record, indent=2) + "\n").encode())
    return ranking[0].candidate


def _report(
    experiment: Experiment, verdict: Verdict, candidates: Sequence[Candidate]
) -> ReportData:
    by_generation: dict[int, list[float]] = {}
    for c in candidates:
        score = np.inf if c.score is None else c.score
        by_generation.setdefault(c.generation, []).append(score)
    dates = experiment.config.splits
    return ReportData(
        title=f"{experiment.config.name}: {experiment.series.name} and the market of minds",
        series=experiment.series.name,
        target=verdict.target,
        real=verdict.real,
        simulated=verdict.simulated,
        scoreboard=[
            row
            for row in verdict.rows
            if (row["split"], row["asset"]) == ("heldout", experiment.series.name)
        ],
        history=[(g, min(s), float(np.median(s))) for g, s in sorted(by_generation.items())],
        heldout_dates=dates.heldout,
        train_dates=dates.train,
    )
