"""The sweep as a person would write it by hand: ask, evaluate, tell, record, checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evobourse.evolve import checkpoint, durable
from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.search import Optimizer, ParentWeights, candidate_id
from evobourse.evolve.timings import Timings

_GENERATIONS_KEY = 0x67656E  # keeps these seeds apart from children that others spawn

Parents = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Evaluation:
    """What became of one candidate.

    Attributes
    ----------
    score : float
        At least 0, lower is better; inf when it failed.
    parts : dict of str to float
        What the score is made of.
    recipe : dict or None
        The model recipe that was built, if any; plain JSON.
    seeds : tuple of int
        What it was evaluated with.
    failure : str or None
        Why it failed; given if and only if the score is inf.
    """

    score: float
    parts: dict[str, float]
    recipe: dict[str, Any] | None
    seeds: tuple[int, ...]
    failure: str | None


class Evaluator(Protocol):
    """Whoever can score a generation."""

    def evaluate(
        self,
        generation: int,
        genomes: list[list[Values]],
        seed: np.random.SeedSequence,
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score the gene values of candidates [S][F], in that shape.

        The result may depend on nothing but the genomes and the seed. `on_progress`
        takes the number of candidates done and in all.
        """
        ...


@dataclass(frozen=True)
class Lesson:
    """A candidate, and the gene values that it would hand on after some training."""

    pupil: Candidate
    genome: Values


class Teacher(Protocol):
    """Whoever trains candidates between generations: a memetic step."""

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same on a resume."""
        ...

    def teach(
        self, generation: int, candidates: Sequence[Candidate], seed: np.random.SeedSequence
    ) -> Lesson | None:
        """Train one of the candidates before a generation; None where nobody is trained.

        The result may depend on nothing but these arguments.
        """
        ...


class Observer(Protocol):
    """Whoever watches a sweep. What it raises ends the sweep (which can then be resumed)."""

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Hear that `done` of `total` candidates are scored; `best` is the best score before."""
        ...

    def on_generation(
        self, generation: int, candidates: Sequence[Candidate], search: Optimizer
    ) -> None:
        """Hear of a generation that has been recorded and checkpointed."""
        ...


def generation_seed(seed: int, generation: int) -> np.random.SeedSequence:
    """Make a generation's seed, which depends on nothing that happened before it."""
    return np.random.SeedSequence(seed, spawn_key=(_GENERATIONS_KEY, generation))


def evolve(
    run_folder: RunFolder,
    genome: Genome,
    search: Optimizer,
    evaluator: Evaluator,
    generations: int,
    seed: int,
    observers: Sequence[Observer] = (),
    budget: Callable[[int, Sequence[Candidate]], str | None] = lambda planned, candidates: None,
    teacher: Teacher | None = None,
) -> list[Candidate]:
    """Run a sweep, or resume the one that the folder holds.

    The lineage's bytes are the same whether or not the sweep was killed on the way,
    at any moment and any number of times.

    Parameters
    ----------
    run_folder : RunFolder
        Gets its lineage, checkpoint, timings and, when the search has ended, the reason in words.
    genome, search, evaluator
        What is searched, who proposes, who scores. On a resume the checkpointed
        search replaces this one, which must be set up alike.
    generations : int
        In all, those before a resume included. Fewer when the search has converged.
    seed : int
        Every generation's seed is made from it.
    observers : sequence of Observer
    budget : callable
        Hears before each generation how many candidates it has and all that are recorded;
        words end the sweep in good order, see `evolve.budget.Budget`.
    teacher : Teacher, optional
        Whom it trains becomes two more candidates of the generation, each in a row of its own:
        as it was, since every generation has other seeds, and as it is now. What it was taught is
        handed back to the search if it is the better of the two.

    Returns
    -------
    list of Candidate
        The whole lineage, in order.

    Raises
    ------
    RunError
        When the folder cannot be written, or holds another sweep or damaged files.
    EvolveError
        When the evaluator returns what is no evaluation of the generation.
    """
    lineage = Lineage(run_folder.lineage)
    setup = _setup(genome, search, seed, teacher)
    search, generation, parents = _resume_or_start(run_folder, lineage, setup, search)
    candidates = lineage.read()
    best = _best(candidates, None)
    timings = Timings(run_folder.timings)
    run_folder.stopped.unlink(missing_ok=True)

    while not (reason := _why_stop(search, generation, generations, candidates, budget)):
        timings.start()
        proposal = search.ask()
        genomes = search.genomes(proposal)
        own, chance = len(genomes), generation_seed(seed, generation)
        lesson = teacher.teach(generation, candidates, chance) if teacher else None
        if lesson is not None:
            genomes = [*genomes, [lesson.pupil.genome], [lesson.genome]]

        report = _progress(observers, generation, best)
        evaluations = evaluator.evaluate(generation, genomes, chance, report)
        _check(evaluations, genomes, generation)

        scores = np.array([[e.score for e in row] for row in evaluations[:own]], dtype=np.float64)
        parts = [[e.parts for e in row] for row in evaluations[:own]]
        weights = search.tell(proposal, scores, parts)

        born = [
            _candidate(generation, s, f, parents, genomes[s][f], evaluation)
            for s, row in enumerate(evaluations)
            for f, evaluation in enumerate(row)
        ]
        if lesson is not None:
            born[-2:] = [replace(c, parents=((lesson.pupil.id, 1.0),)) for c in born[-2:]]
            if evaluations[-1][0].score < evaluations[-2][0].score:
                search.inject(lesson.genome)
        lineage.append(born)

        parents = _next_parents(parents, born[: scores.size], weights)
        candidates += born
        best = _best(born, best)
        generation += 1
        checkpoint.save(
            run_folder.checkpoint,
            _state(setup, search, generation, parents, len(candidates)),
        )
        timings.note(generation - 1, len(born), search.readings)

        for observer in observers:
            observer.on_generation(generation - 1, born, search)
    _note_stop(run_folder.stopped, reason, generation, len(candidates))
    return candidates


def _why_stop(
    search: Optimizer,
    generation: int,
    generations: int,
    candidates: Sequence[Candidate],
    budget: Callable[[int, Sequence[Candidate]], str | None],
) -> str | None:
    if generation >= generations:
        return f"all {generations} generations are done"
    if reasons := search.stop():
        return "; ".join(reasons)
    return budget(search.planned_candidates(generation), candidates)


def _note_stop(path: Path, reason: str, generations: int, candidates: int) -> None:
    noted = {"reason": reason, "generations": generations, "candidates": candidates}
    durable.replace_bytes(path, (json.dumps(noted) + "\n").encode())


def _resume_or_start(
    run_folder: RunFolder, lineage: Lineage, setup: dict[str, Any], search: Optimizer
) -> tuple[Optimizer, int, Parents]:
    if not run_folder.has_begun:
        if lineage.read():  # a checkpoint comes before the first line, so somebody removed it
            raise RunError(
                f"{run_folder} has a lineage but no checkpoint; "
                "restore the checkpoint or start the sweep in a new folder"
            )
        lineage.truncate_to(0)
        checkpoint.save(run_folder.checkpoint, _state(setup, search, 0, (), 0))
        return search, 0, ()

    state = checkpoint.load(run_folder.checkpoint)
    before = state["setup"]
    changed = [key for key in {**before, **setup} if setup.get(key) != before.get(key)]
    if changed:
        raise RunError(
            f"{run_folder} was started with another {', '.join(changed)}; "
            "resume it with its own config or start the sweep in a new folder"
        )
    generation: int = state["generation"]
    lineage.truncate_to(generation)
    recorded = len(lineage.read())
    if recorded != state["recorded"]:
        raise RunError(
            f"{lineage.path} holds {recorded} of the {state['recorded']} candidates before "
            f"generation {generation}; restore the file or start the sweep in a new folder"
        )
    return state["search"], generation, state["parents"]


def _setup(genome: Genome, search: Optimizer, seed: int, teacher: Teacher | None) -> dict[str, Any]:
    """Gather what must not change between a sweep's start and its end."""
    taught = teacher.settings if teacher else {}
    return {"seed": seed, "genome": genome, **search.settings, **taught}


def _state(
    setup: dict[str, Any],
    search: Optimizer,
    generation: int,
    parents: Parents,
    recorded: int,
) -> dict[str, Any]:
    return {
        "setup": setup,
        "search": search,
        "generation": generation,
        "parents": parents,
        "recorded": recorded,
    }


def _candidate(
    generation: int, s: int, f: int, parents: Parents, genome: Values, evaluation: Evaluation
) -> Candidate:
    failed = not np.isfinite(evaluation.score)
    return Candidate(
        id=candidate_id(generation, s, f),
        generation=generation,
        parents=parents,
        genome=genome,
        recipe=evaluation.recipe,
        seeds=evaluation.seeds,
        score=None if failed else float(evaluation.score),
        parts=evaluation.parts,
        failure=(evaluation.failure or "no reason given") if failed else None,
    )


def _next_parents(
    parents: Parents, born: Sequence[Candidate], weights: ParentWeights | None
) -> Parents:
    """Name those selected; where nobody was, the parents stay, unless the search begins anew."""
    if weights is None:
        return ()
    shares = zip(born, weights.ravel().tolist(), strict=True)
    return tuple((c.id, weight) for c, weight in shares if weight > 0) or parents


def _check(
    evaluations: list[list[Evaluation]], genomes: list[list[Values]], generation: int
) -> None:
    got, expected = [len(row) for row in evaluations], [len(row) for row in genomes]
    if got != expected:
        raise EvolveError(
            f"generation {generation}: the evaluator returned rows of {got} evaluations "
            f"for rows of {expected} candidates"
        )


def _best(candidates: Sequence[Candidate], before: float | None) -> float | None:
    """Return the best score of candidates and of those before them; None where all failed."""
    scores = [c.score for c in candidates if c.score is not None]
    return min(scores if before is None else [before, *scores], default=None)


def _progress(
    observers: Sequence[Observer], generation: int, best: float | None
) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        for observer in observers:
            observer.on_progress(generation, done, total, best)

    return report
