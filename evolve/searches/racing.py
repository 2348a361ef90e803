"""Racing: bad candidates stop after a few seeds, good ones are scored on all of them.

Successive halving over shared seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError

Evaluate = Callable[[list[int], Sequence[int]], Sequence[Sequence[Any]]]
"""Takes candidates and seeds; returns a result for each candidate and each seed, in their order."""


@dataclass(frozen=True, eq=False)
class Race:
    """How a race went.

    Attributes
    ----------
    scores : float64[n]
        Of candidates that finished, exactly what they would have been without a race; of those
        that stopped, the score on their seeds, but never better than the worst finisher's.
    results : list of list
        Each candidate's results on the seeds that it was evaluated on.
    finished : bool[n]
        Who was evaluated on all seeds.
    saved : int
        Evaluations, of one candidate on one seed, that were not needed.
    """

    scores: NDArray[np.float64]
    results: list[list[Any]]
    finished: NDArray[np.bool_]
    saved: int


def race(
    evaluate: Evaluate,
    score: Callable[[Sequence[Any]], float],
    candidates: int,
    seeds: Sequence[int],
    rungs: Sequence[int],
    keep: float = 0.5,
) -> Race:
    """Evaluate candidates on shared seeds, and drop the worse part of them at every rung.

    Successive halving (Jamieson and Talwalkar, 2016, AISTATS, arXiv 1502.07943) with common
    random numbers: at a rung all candidates have met the same seeds, and those that go on end
    with the very scores of a full evaluation. A race can lose a good candidate that was unlucky
    at first; it cannot reorder those that finish, nor let a lucky one that stopped pass them.

    Parameters
    ----------
    evaluate
        See `Evaluate`.
    score
        Turns a candidate's results into its score: lower is better, inf if it failed.
    candidates : int
        How many, 1 or more.
    seeds : sequence of int
        All seeds, in the order in which they are met.
    rungs : sequence of int
        After how many seeds candidates are dropped: ascending, each at least 1 and fewer than
        there are seeds. None: no race.
    keep : float
        Part of the candidates that goes on from a rung, above 0 and at most 1; at least one.

    Raises
    ------
    EvolveError
        When the rungs or the part that goes on are out of range.
    """
    stages = [0, *rungs, len(seeds)]
    if any(a >= b for a, b in pairwise(stages)) or not 0 < keep <= 1:
        raise EvolveError(
            f"a race over {len(seeds)} seeds with rungs {list(rungs)} and keep {keep}: rungs must "
            f"ascend within 1 to {len(seeds) - 1}, and keep lie above 0 and at most at 1"
        )
    results: list[list[Any]] = [[] for _ in range(candidates)]
    scores = np.full(candidates, np.inf)
    alive = list(range(candidates))
    for begun, met in pairwise(stages):
        for i, found in zip(alive, evaluate(alive, seeds[begun:met]), strict=True):
            results[i] += found
            scores[i] = score(results[i])
        if met < len(seeds):
            # A failure is final: what is infinite on some seeds is infinite on all.
            going = sorted((i for i in alive if np.isfinite(scores[i])), key=lambda i: scores[i])
            alive = sorted(going[: int(np.ceil(keep * len(alive)))])
    finished = np.zeros(candidates, dtype=bool)
    finished[alive] = True
    worst = max((float(scores[i]) for i in alive if np.isfinite(scores[i])), default=0.0)
    scores = np.where(finished, scores, np.maximum(scores, worst))
    saved = candidates * len(seeds) - sum(map(len, results))
    return Race(scores, results, finished, saved)
