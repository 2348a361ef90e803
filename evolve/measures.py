"""What a population's market is like, beside its score: measures for archives and objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population
from evobourse.fitness.conditional.path import score_conditioned_paths

TRADING_DAYS = 252


@dataclass(frozen=True, eq=False)
class Played:
    """A candidate's markets: who played, what they choose, what came out, what was real.

    Attributes
    ----------
    population
        Who traded.
    choices : float64[P, V, 5]
        What their minds choose, see `agents.minds.choices.tabulate_choices`.
    log_returns : float64[paths, days]
        Simulated.
    real : float64[paths, days]
        Log returns of the real days that each path's window stands for.
    """

    population: Population
    choices: NDArray[np.float64]
    log_returns: NDArray[np.float64]
    real: NDArray[np.float64]


def volatility(played: Played) -> float:
    """Return the realised volatility of a year, as a fraction: mean over the paths."""
    daily = np.sqrt(np.mean(played.log_returns**2, axis=1))
    return float(daily.mean() * np.sqrt(TRADING_DAYS))


def diversity(played: Played) -> float:
    """Return K*, how many different investors the personas amount to: 1 to their number.

    The exponential of the entropy of the eigenvalues of the similarity matrix, personas weighted
    by their shares (Friedman and Dieng, 2023, TMLR, arXiv 2210.02410). Two personas are as
    similar as their choices: the Bhattacharyya coefficient of the five options, averaged over
    all views that they can have.
    """
    root = np.sqrt(np.diff(played.choices, axis=2, prepend=0.0).clip(0.0))
    flat = root.reshape(len(root), -1) / np.sqrt(root.shape[1])
    share = np.array([persona.share for persona in played.population.personas])
    weight = np.sqrt(share / share.sum())
    eigenvalues = np.linalg.eigvalsh(weight[:, None] * (flat @ flat.T) * weight)
    kept = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-np.sum(kept * np.log(kept))))


def path_error(played: Played) -> float:
    """Return how far prices end up from the real ones: mean RMSE, start price 1."""
    unused = np.random.default_rng(0)  # intervals over one seed draw nothing
    errors = [
        score_conditioned_paths(np.exp(np.cumsum(s))[None], np.exp(np.cumsum(r)), unused)
        for s, r in zip(played.log_returns, played.real, strict=True)
    ]
    return float(np.mean([error.per_path[0, 0] for error in errors]))


def questions(played: Played) -> float:
    """Return the cost in forward passes of a cold market: distinct minds times possible views."""
    population = played.population
    minds = {(persona.base, persona.mind.tobytes()) for persona in population.personas}
    return float(len(minds) * len(possible_views(population.society.attention)))


MEASURES: dict[str, Callable[[Played], float]] = {
    "volatility": volatility,
    "diversity": diversity,
    "path_error": path_error,
    "questions": questions,
}


def measure(names: Sequence[str], played: Played) -> dict[str, float]:
    """Compute measures by name."""
    return {name: MEASURES[name](played) for name in names}
