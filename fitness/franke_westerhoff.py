"""The structural stochastic volatility market of Franke and Westerhoff (2012), a reference model.

Knows the discrete choice approach with herding, predisposition and misalignment (DCA-HPM).
Deliberately does not know any real market, any score, nor how its parameters were chosen.

References
----------
Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, 1193-1211,
doi:10.1016/j.jedc.2011.10.004.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numba import njit

from fitness.errors import FitnessError
from fitness.moments import FloatArray

BURN_IN_DAYS = 2000
"""Over three times the days, ln 2 / (mu phi) or more, in which a published misalignment halves."""


@dataclass(frozen=True)
class FrankeWesterhoff:
    """Parameters of the model; the defaults are the published estimates for the S&P 500.

    The defaults were compared with independent public implementations of the paper, which agree
    on all nine, not with the paper itself.

    Parameters
    ----------
    phi : float
        Fundamentalists' demand per unit of log misalignment, 0 or more.
    chi : float
        Chartists' demand per unit of the last log return, 0 or more.
    alpha_0 : float
        Predisposition, positive towards fundamentalism.
    alpha_n : float
        Herding, per unit of the majority.
    alpha_p : float
        Misalignment's pull towards fundamentalism, per squared log misalignment.
    sigma_f, sigma_c : float
        Standard deviation of the noise in a fundamentalist's and a chartist's demand, 0 or more.
    mu : float
        Price impact: log price per unit of excess demand.
    beta : float
        Intensity of choice.

    Raises
    ------
    FitnessError
        If a parameter is not finite, or negative where it may not be.
    """

    phi: float = 0.12
    chi: float = 1.50
    alpha_0: float = -0.327
    alpha_n: float = 1.79
    alpha_p: float = 18.43
    sigma_f: float = 0.758
    sigma_c: float = 2.087
    mu: float = 0.01
    beta: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            signed = name.startswith("alpha")
            if not np.isfinite(value) or (value < 0.0 and not signed):
                expected = "a finite number" if signed else "a finite number, 0 or more"
                raise FitnessError(f"Franke-Westerhoff parameter {name}={value}: use {expected}")


PUBLISHED = FrankeWesterhoff()


def franke_westerhoff(
    parameters: FrankeWesterhoff, n: int, T: int, rng: np.random.Generator
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
        Source of the demand noise e_f and e_c.

    Returns
    -------
    float64 array, shape [n, T]
        Independent paths, each after a burn-in of 2,000 days from p = 0 and equal shares.
        Parameters that make the price explode (phi of 1,000, say) or stand still give returns
        in which `fitness.moments.path_faults` names the fault.
    """
    p = parameters
    demand = (p.phi, p.chi, p.sigma_f, p.sigma_c, p.mu)
    return np.asarray(
        _simulate(demand, (p.alpha_0, p.alpha_n, p.alpha_p, p.beta), n, T, BURN_IN_DAYS, rng)
    )


@njit(cache=True)
def _simulate(
    demand: tuple[float, float, float, float, float],
    switching: tuple[float, float, float, float],
    n: int,
    T: int,
    burn_in: int,
    rng: np.random.Generator,
) -> FloatArray:
    phi, chi, sigma_f, sigma_c, mu = demand
    alpha_0, alpha_n, alpha_p, beta = switching
    returns = np.empty((n, T))
    for path in range(n):
        price, log_return, share = 0.0, 0.0, 0.5
        for day in range(-burn_in, T):
            fundamentalist = -phi * price + sigma_f * rng.standard_normal()
            chartist = chi * log_return + sigma_c * rng.standard_normal()
            attraction = alpha_0 + alpha_n * (2.0 * share - 1.0) + alpha_p * price**2
            log_return = mu * (share * fundamentalist + (1.0 - share) * chartist)
            price += log_return
            share = 1.0 / (1.0 + np.exp(-beta * attraction))
            if day >= 0:
                returns[path, day] = log_return
    return returns
