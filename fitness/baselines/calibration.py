"""The Franke-Westerhoff market fitted to a real split by the optimizer that breeds the agents."""

from collections.abc import Sequence

import numpy as np

from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    FrankeWesterhoff,
    franke_westerhoff,
)
from evobourse.fitness.distance import Target
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import moments

FREE = ("phi", "chi", "alpha_0", "alpha_n", "alpha_p", "sigma_f", "sigma_c")
"""As in the paper: mu and beta only scale the others."""

START_NU = 6.0
"""Degrees of freedom at which a search over Student noise starts."""

GENERATIONS, POPULATION = 80, 16
"""Of the quickstart's sweep: 1,280 configurations tried."""

FIRST_STEP = 0.5
FARTHEST = 3.0
"""Bound on every coordinate: a factor of exp(3), about 20, or 3 on the scale of alpha_0."""

WORST_RATIO = 1e12
"""What a degenerate market enters the search with: CMA-ES ranks, and pycma wants it finite."""


def calibrate_franke_westerhoff(
    target: Target,
    seed: np.random.SeedSequence,
    generations: int = GENERATIONS,
    population: int = POPULATION,
    paths: int = 64,
    student: bool = False,
) -> FrankeWesterhoff:
    """Search the parameters whose paths score best against a real split, by CMA-ES.

    The search starts at the published parameters. Positive parameters move on a logarithmic
    scale, alpha_0 on its own. All candidates of a generation share their random numbers, the
    next generation has fresh ones, and the answer is the final mean of the search: no lucky
    draw can win.

    Parameters
    ----------
    target : Target
        The split to come close to; its volume, if it has any, is left out.
    seed : numpy.random.SeedSequence
        Read, never spawned from; numpy's global stream is left alone.
    generations, population : int
        Generations, 1 or more, and candidates in each, 2 or more.
    paths : int
        Paths that a candidate's expected J/J95 is estimated from, 2 or more.
    student : bool
        Whether the demand noise is Student's, its degrees of freedom searched as well.

    Returns
    -------
    FrankeWesterhoff
        The calibrated market.

    Raises
    ------
    FitnessError
        If the budget is too small to search with.

    References
    ----------
    Hansen (2016), The CMA evolution strategy: a tutorial, arXiv 1604.00772.
    """
    if generations < 1 or population < 2 or paths < 2:
        raise FitnessError(
            f"generations={generations}, population={population}, paths={paths}: expected at "
            "least 1, 2 and 2"
        )
    target = target.without_volume()
    import cma  # a second, and matplotlib: only for who searches

    proposals, draws = (
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, key)) for key in range(2)
    )
    normals = np.random.default_rng(proposals)
    free = (*FREE, "nu") if student else FREE
    search = cma.CMAEvolutionStrategy(
        np.zeros(len(free)),
        FIRST_STEP,
        {
            "popsize": population,
            "bounds": [-FARTHEST, FARTHEST],
            "randn": lambda *shape: normals.standard_normal(shape),
            "seed": np.nan,  # "do nothing": leaves numpy's global stream alone
            "verbose": -9,
        },
    )
    for draw in draws.spawn(generations):
        candidates = search.ask()
        search.tell(
            candidates, [_expected_ratio(_market(free, x), target, paths, draw) for x in candidates]
        )
    return _market(free, search.result.xfavorite)


def _market(free: Sequence[str], coordinates: Sequence[float]) -> FrankeWesterhoff:
    values = {}
    for name, x in zip(free, coordinates, strict=True):
        if name == "nu":  # over 2, or there is no variance
            values[name] = 2.0 + (START_NU - 2.0) * float(np.exp(x))
            continue
        published = getattr(PUBLISHED, name)
        values[name] = float(published + x if name == "alpha_0" else published * np.exp(x))
    return FrankeWesterhoff(**values)


def _expected_ratio(
    market: FrankeWesterhoff, target: Target, paths: int, draw: np.random.SeedSequence
) -> float:
    """J/J95 that `target.paths` paths have on average, from the mean and covariance of many."""
    rng = np.random.default_rng(draw)
    simulated = franke_westerhoff(market, paths, target.window_days, rng)
    each = moments(simulated, target.sigma_real)
    if not np.isfinite(each).all():
        return WORST_RATIO
    # The mean of fewer paths is off by chance too, by so much more than that of all.
    spread = np.var(each / target.gap_sd, axis=0, ddof=1).sum()
    j = float(target.squares(each.mean(axis=0)).sum())
    j += float(spread) * (1.0 / target.paths - 1.0 / paths)
    return j / target.j95
