"""GARCH(1,1) with Student-t shocks, with or without a leverage term, fitted to daily returns."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from arch.univariate import GARCH, ConstantMean, StudentsT
from numba import njit

from evobourse.fitness.baselines.optimum import settled
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.garch_filter import BACKCAST_DAYS, BACKCAST_DECAY
from evobourse.fitness.moments import MIN_DAYS, FloatArray, path_faults

LARGEST_PERSISTENCE = 0.999
"""Cap on alpha + gamma / 2 + beta: at 1 the GARCH variance to simulate around does not exist."""

LARGEST_FREEDOM = 100.0
"""From here on Student's law is nearly normal, and the likelihood flat."""

NEAR = 1e-3
"""Loadings so near to a bound are taken to be there."""

PERCENT = 100.0  # arch's optimizer wants a variance near one


@dataclass(frozen=True)
class GarchT:
    """Fitted (GJR-)GARCH(1,1)-t, in percent: mean, loadings, freedom, unconditional variance."""

    mu: float
    loadings: tuple[float, ...]  # alpha, gamma if there is one, beta
    persistence: float
    nu: float
    variance: float

    def parameters(self, variance: float) -> FloatArray:
        """Arch's parameter vector, with omega such that `variance` is the unconditional one."""
        omega = variance * (1.0 - self.persistence)
        return np.array([self.mu, omega, *self.loadings, self.nu])


def fit_garch_t(train_returns: npt.ArrayLike, asymmetric: int) -> GarchT:
    """Fit by maximum likelihood: arch's optimizer, and from there to the same digits anywhere.

    Parameters
    ----------
    train_returns : array_like, shape [days]
        Daily log returns.
    asymmetric : int
        1 for a leverage term, 0 for none.

    Raises
    ------
    FitnessError
        If the training returns are degenerate or the fit does not converge.
    """
    returns = usable(train_returns, "training returns") * PERCENT
    volatility = GARCH(o=asymmetric)
    model = ConstantMean(returns, volatility=volatility, distribution=StudentsT(), rescale=False)
    result = model.fit(disp="off", show_warning=False)
    if result.convergence_flag != 0:
        raise FitnessError(
            f"{volatility.name}(1,1)-t did not converge on {len(returns)} training returns "
            f"(optimizer flag {result.convergence_flag}): use a longer training split"
        )
    mu, omega, *loadings, nu = _settle(returns, result.params.to_numpy(), asymmetric).tolist()
    persistence = _persistence(loadings, asymmetric)
    if persistence > LARGEST_PERSISTENCE:
        shrunk = (loading * LARGEST_PERSISTENCE / persistence for loading in loadings)
        return GarchT(mu, tuple(shrunk), LARGEST_PERSISTENCE, nu, float(returns.var()))
    return GarchT(mu, tuple(loadings), persistence, nu, omega / (1.0 - persistence))


def usable(returns: npt.ArrayLike, what: str) -> FloatArray:
    """Return daily log returns as an array [days], or refuse them by their name."""
    series = np.asarray(returns, dtype=np.float64)
    if series.ndim != 1:
        raise FitnessError(f"{what}: shape {series.shape}, expected [days]")
    fault = str(path_faults(series))
    if fault:
        raise FitnessError(f"{what}: {fault}; expected {MIN_DAYS} or more daily log returns")
    return series


def _persistence(loadings: list[float], asymmetric: int) -> float:
    return loadings[0] + loadings[-1] + (0.5 * loadings[1] if asymmetric else 0.0)


def _settle(returns: FloatArray, found: FloatArray, asymmetric: int) -> FloatArray:
    """Bring arch's parameters to the maximum; loadings at a bound stay there."""
    weights = BACKCAST_DECAY ** np.arange(min(BACKCAST_DAYS, len(returns)))
    early = returns[: len(weights)] - returns.mean()
    before = float(np.square(early) @ weights / weights.sum())

    def loss(x: FloatArray) -> float:
        gamma = x[3] if asymmetric else 0.0
        return float(_loss(returns, before, x[0], x[1], x[2], gamma, x[-2], x[-1]))

    start = found.copy()
    loadings = start[2:-1]
    loadings[np.abs(loadings) < NEAR] = 0.0
    inside = loadings != 0.0
    inside &= _persistence(found[2:-1].tolist(), asymmetric) < LARGEST_PERSISTENCE
    free = [True, bool(inside.any()), *inside, found[-1] < LARGEST_FREEDOM]
    scales = [returns.std(), start[1], *np.full(len(loadings), 0.05), start[-1]]
    return settled(loss, start, scales, free)


@njit(cache=True, error_model="numpy")
def _loss(
    returns: FloatArray,
    before: float,
    mu: float,
    omega: float,
    alpha: float,
    gamma: float,
    beta: float,
    nu: float,
) -> float:
    """Mean negative log likelihood of a day."""
    variance = omega + (alpha + 0.5 * gamma + beta) * before
    total = 0.0
    for day in range(len(returns)):
        shock = returns[day] - mu
        square = shock * shock
        total += np.log(variance) + (nu + 1.0) * np.log(1.0 + square / (variance * (nu - 2.0)))
        loading = alpha + gamma if shock < 0.0 else alpha
        variance = omega + loading * square + beta * variance
    shape = math.lgamma((nu + 1.0) / 2.0) - math.lgamma(nu / 2.0)
    return 0.5 * total / len(returns) - shape + 0.5 * math.log(math.pi * (nu - 2.0))
