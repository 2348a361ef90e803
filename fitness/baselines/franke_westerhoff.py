"""The structural stochastic volatility market of Franke and Westerhoff (2012), a reference model.

References
----------
Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, 1193-1211,
doi:10.1016/j.jedc.2011.10.004.
"""

import numpy as np
from numba import njit

from evobourse.fitness.moments import FloatArray
from evobourse.market.crowds.franke_westerhoff import PUBLISHED, FrankeWesterhoff

__all__ = ["BURN_IN_DAYS", "PUBLISHED", "FrankeWesterhoff", "franke_westerhoff"]

BURN_IN_DAYS = 2000
"""Over three times the days, ln 2 / (mu phi) or more, in which a published misalignment halves."""


def franke_westerhoff(
    parameters: FrankeWesterhoff,
    n: int,
    T: int,
    rng: np.random.Generator,
    burn_in_days: int = BURN_IN_DAYS,
) -> FloatArray:
    """Daily log returns of the Franke-Westerhoff market.

    With log price p, fundamental value 0 and fundamentalists' share n_f::

        p[t+1]   = p[t] + mu (n_f[t] d_f[t] + (1 - n_f[t]) d_c[t])
        d_f[t]   = -phi p[t] + sigma_f e_f[t]
        d_c[t]   = chi (p[t] - p[t-1]) + sigma_c e_c[t]
        n_f[t+1] = 1 / (1 + exp(-beta a[t]))
        a[t]     = alpha_0 + alpha_n (2 n_f[t] - 1) + alpha_p p[t]^2

    Parameters
    ----------
    parameters : FrankeWesterhoff
        The market, as in `PUBLISHED`.
    n, T : int
        Number of paths and days per path.
    rng : numpy.random.Generator
        Source of the demand noise e_f and e_c: normal, or Student's t of variance 1 with
        ``parameters.nu`` degrees of freedom.
    burn_in_days : int
        Days before the first that is returned.

    Returns
    -------
    float64 array, shape [n, T]
        Independent paths, each after a burn-in from p = 0 and equal shares.
        Parameters that make the price explode (phi of 1,000, say) or stand still give returns
        in which `fitness.moments.path_faults` names the fault.
    """
    p = parameters
    demand = (p.phi, p.chi, p.sigma_f, p.sigma_c, p.mu)
    return np.asarray(
        _simulate(demand, (p.alpha_0, p.alpha_n, p.alpha_p, p.beta), p.nu, n, T, burn_in_days, rng)
    )


@njit(cache=True)
def _simulate(
    demand: tuple[float, float, float, float, float],
    switching: tuple[float, float, float, float],
    nu: float,
    n: int,
    T: int,
    burn_in: int,
    rng: np.random.Generator,
) -> FloatArray:
    phi, chi, sigma_f, sigma_c, mu = demand
    alpha_0, alpha_n, alpha_p, beta = switching
    unit = np.sqrt((nu - 2.0) / nu) if nu < np.inf else 1.0
    returns = np.empty((n, T))
    for path in range(n):
        price, log_return, share = 0.0, 0.0, 0.5
        for day in range(-burn_in, T):
            if nu < np.inf:
                e_f, e_c = unit * rng.standard_t(nu), unit * rng.standard_t(nu)
            else:
                e_f, e_c = rng.standard_normal(), rng.standard_normal()
            fundamentalist = -phi * price + sigma_f * e_f
            chartist = chi * log_return + sigma_c * e_c
            attraction = alpha_0 + alpha_n * (2.0 * share - 1.0) + alpha_p * price**2
            log_return = mu * (share * fundamentalist + (1.0 - share) * chartist)
            price += log_return
            share = 1.0 / (1.0 + np.exp(-beta * attraction))
            if day >= 0:
                returns[path, day] = log_return
    return returns
