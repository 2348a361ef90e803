"""How often the energy score given the past tells other laws from the one that days come from."""

from collections.abc import Sequence

import numpy as np

from evobourse.fitness.baselines.garch_fit import PERCENT, GarchT
from evobourse.fitness.baselines.without_agents import GARCH_BURN_IN_DAYS
from evobourse.fitness.comparisons import diebold_mariano
from evobourse.fitness.conditional.energy import (
    MEMBERS,
    SIGNIFICANT,
    WINDOW_DAYS,
    feature_spread,
    follow_scores,
)
from evobourse.fitness.moments import FloatArray

SAME = "the law itself"
RIVALS = (
    SAME,
    "the law, volatility 25 % too high",
    "the law, volatility 25 % too low",
    "the law, told nothing",
    "a random walk",
)
"""What is held against the law told the past, each with draws of its own."""

_WRONG = 1.25
_UNIT_DAYS = 4000  # whose windows the units of features are taken from


def told_apart(
    law: GarchT, quarters: Sequence[int], series: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Let days be drawn from a law, and count how often others are told from it.

    Parameters
    ----------
    law : GarchT
        A GARCH(1,1)-t law; its mean is left out.
    quarters : sequence of int
        Numbers of pasts in a test.
    series : int
        Simulated; a test each.
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    dict of str to float64 array, shape [len(quarters)]
        Of each of `RIVALS` the share of tests that call it better or worse at 5 %: of the first
        false alarms, of the others power.
    """
    alpha, beta = law.loadings
    omega = law.variance * (1.0 - law.persistence)
    unit = np.sqrt((law.nu - 2.0) / law.nu)

    def follow(variance: FloatArray, days: int = WINDOW_DAYS) -> tuple[FloatArray, FloatArray]:
        """Draw log returns [..., days] that begin at variances [...], and the variances after."""
        returns = np.empty((*variance.shape, days))
        for day in range(days):
            returns[..., day] = np.sqrt(variance) * unit * rng.standard_t(law.nu, variance.shape)
            variance = omega + alpha * returns[..., day] ** 2 + beta * variance
        return returns / PERCENT, variance

    most = max(quarters)
    _, today = follow(np.full(series, law.variance), GARCH_BURN_IN_DAYS)
    known, came = np.empty((series, most)), np.empty((series, most, WINDOW_DAYS))
    for quarter in range(most):
        known[:, quarter] = today
        came[:, quarter], today = follow(today)
    _, anywhere = follow(np.full(series * MEMBERS, law.variance), GARCH_BURN_IN_DAYS)
    [long], _ = follow(np.full(1, law.variance), _UNIT_DAYS)
    spread = feature_spread(long)

    def score(paths: FloatArray) -> FloatArray:
        each = [follow_scores(*pair, spread) for pair in zip(paths, came, strict=True)]
        return np.array(each)

    shape = (series, most, MEMBERS)
    told = np.broadcast_to(known[..., None], shape)
    reference = score(follow(told)[0])
    scores = (
        score(follow(told)[0]),
        score(_WRONG * follow(told)[0]),
        score(follow(told)[0] / _WRONG),
        score(follow(rng.choice(anywhere, shape))[0]),
        score(rng.normal(0.0, np.sqrt(law.variance) / PERCENT, (*shape, WINDOW_DAYS))),
    )
    return {
        name: np.array([_share(own[:, :few], reference[:, :few]) for few in quarters])
        for name, own in zip(RIVALS, scores, strict=True)
    }


def _share(scores: FloatArray, reference: FloatArray) -> float:
    """Count tests at 5 % among series, of scores [series, quarters]."""
    p_values = [diebold_mariano(*pair)[1] for pair in zip(scores, reference, strict=True)]
    return float(np.mean(np.array(p_values) < SIGNIFICANT))
