"""Log-normal stochastic volatility, fitted by quasi maximum likelihood.

References
----------
Taylor (1986), Modelling Financial Time Series, Wiley.
Harvey, Ruiz and Shephard (1994), Multivariate stochastic variance models, Review of Economic
Studies 61(2), 247-264, doi:10.2307/2297980.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.baselines.garch_fit import LARGEST_PERSISTENCE, NEAR, usable
from evobourse.fitness.baselines.optimum import settled
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray

LOG_CHI_VARIANCE = math.pi**2 / 2
"""Variance of the logarithm of a squared standard normal number."""

LOG_CHI_MEAN = -1.2703628454614782
"""Its mean: -(Euler's constant + ln 2)."""

SMALLEST = 1e-4
"""Least squared return that counts, of their mean: a day in a hundred is below."""

STARTS = (0.98, 0.9, 0.5)


@dataclass(frozen=True)
class StochasticVolatility:
    """The law ``r = mu + exp(h / 2) e``, ``h`` an AR(1) around its mean.

    Attributes
    ----------
    mu
        Mean log return.
    log_variance
        Mean of h.
    persistence
        Of h from a day to the next, from -1 to 1.
    sigma
        Standard deviation of h's shocks.
    """

    mu: float
    log_variance: float
    persistence: float
    sigma: float


def fit_stochastic_volatility(train_returns: npt.ArrayLike) -> StochasticVolatility:
    """Fit by the Kalman filter on ``ln (r - mu)^2``, whose noise is taken for normal.

    Parameters
    ----------
    train_returns : array_like, shape [days]
        Daily log returns.

    Raises
    ------
    FitnessError
        If the returns are degenerate or the fit does not converge.
    """
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    returns = usable(train_returns, "training returns")
    mu = float(returns.mean())
    squared = (returns - mu) ** 2
    # A return of exactly the mean has no logarithm.
    logs = np.log(np.maximum(squared, SMALLEST * squared.mean())) - LOG_CHI_MEAN
    # A constant level makes the level a state of unit root without shocks: the mean instead.
    centre = float(logs.mean())
    model = UnobservedComponents(logs - centre, irregular=True, autoregressive=1)
    signal = max(float(logs.var()) - LOG_CHI_VARIANCE, 0.05)
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters of them is asked below
        # From several persistences: a flat likelihood holds a search where it starts.
        for start in STARTS:
            begin = {"sigma2.ar": signal * (1.0 - start**2), "ar.L1": start}
            fits.append(
                model.fit_constrained(
                    {"sigma2.irregular": LOG_CHI_VARIANCE},
                    start_params=[begin[name] for name in model.param_names if name in begin],
                    disp=0,
                    maxiter=500,
                )
            )
    fitted = max(fits, key=lambda fit: fit.llf)
    if not fitted.mle_retvals["converged"]:
        raise FitnessError(
            f"stochastic volatility did not converge on {len(returns)} training returns: "
            "use a longer training split"
        )
    names = list(fitted.param_names)
    at = np.asarray(fitted.params, dtype=np.float64)
    spread, last = at[names.index("sigma2.ar")], at[names.index("ar.L1")]
    scales = {"sigma2.ar": spread, "ar.L1": 1.0 - abs(last)}
    inside = spread > NEAR * signal and abs(last) < LARGEST_PERSISTENCE
    at = settled(
        lambda x: -float(model.loglike(x)) / len(logs),
        at,
        [scales.get(name, 1.0) for name in names],
        [inside and name in scales for name in names],
    )
    found = dict(zip(names, at.tolist(), strict=True))
    persistence = float(np.clip(found["ar.L1"], -LARGEST_PERSISTENCE, LARGEST_PERSISTENCE))
    return StochasticVolatility(mu, centre, persistence, math.sqrt(max(found["sigma2.ar"], 0.0)))


def stochastic_volatility(
    train_returns: npt.ArrayLike, n: int, T: int, rng: np.random.Generator
) -> FloatArray:
    """Draw paths of the law that is fitted to the training returns.

    Parameters
    ----------
    train_returns : array_like, shape [days]
        Daily log returns to fit.
    n, T : int
        Number of paths and days per path.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    float64 array, shape [n, T]
        Paths from the stationary law.

    Raises
    ------
    FitnessError
        As `fit_stochastic_volatility`.
    """
    law = fit_stochastic_volatility(train_returns)
    shocks = law.sigma * rng.standard_normal((T, n))
    deviation = law.sigma / math.sqrt(1.0 - law.persistence**2) * rng.standard_normal(n)
    logs = np.empty((T, n))
    for day in range(T):
        logs[day] = law.log_variance + deviation
        deviation = law.persistence * deviation + shocks[day]
    return np.asarray(law.mu + np.exp(logs.T / 2) * rng.standard_normal((n, T)))
