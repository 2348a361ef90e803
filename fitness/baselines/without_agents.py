"""Markets without agents, to be beaten: random walks, GARCH and the real returns themselves.

Every function returns daily log returns, float64 [paths, days], from the generator handed in.
The ``_history`` variants get the returns that were known before each path's window begins, so
that a calm or a nervous start is no advantage of the agents alone.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from arch.univariate import GARCH, ConstantMean, StudentsT

from evobourse.fitness.baselines.garch_fit import PERCENT, fit_garch_t, usable
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray

GBM_TRAILING_DAYS = 250
GARCH_TRAILING_DAYS = 750
GARCH_BURN_IN_DAYS = 500


def gbm(train_returns: npt.ArrayLike, n: int, T: int, rng: np.random.Generator) -> FloatArray:
    """Geometric Brownian motion with the training returns' mean and standard deviation.

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
        Independent normal log returns.

    Raises
    ------
    FitnessError
        If the training returns are degenerate.
    """
    returns = usable(train_returns, "training returns")
    return rng.normal(returns.mean(), returns.std(), size=(n, T))


def gbm_history(
    histories: Sequence[npt.ArrayLike], T: int, rng: np.random.Generator, members: int = 1
) -> FloatArray:
    """Geometric Brownian motion at the volatility of each history's last 250 days.

    The drift is zero: a year's mean return says next to nothing about the next year's.

    Parameters
    ----------
    histories : sequence of array_like, each of shape [days]
        Daily log returns known before each window, 30 days or more; all are used if under 250.
    T : int
        Days per path.
    rng : numpy.random.Generator
        Source of the draws.
    members : int
        Paths per history.

    Returns
    -------
    float64 array, shape [len(histories) * members, T]
        Those of one history side by side.

    Raises
    ------
    FitnessError
        If a history is degenerate.
    """
    volatility = [
        usable(history, f"history {i}")[-GBM_TRAILING_DAYS:].std()
        for i, history in enumerate(histories)
    ]
    of_path = np.repeat(volatility, members)
    return np.asarray(rng.standard_normal((len(of_path), T)) * of_path[:, None])


def garch_t(train_returns: npt.ArrayLike, n: int, T: int, rng: np.random.Generator) -> FloatArray:
    """GARCH(1,1) with Student-t shocks, fitted by maximum likelihood on the training returns.

    Parameters
    ----------
    train_returns : array_like, shape [days]
        Daily log returns to fit.
    n, T : int
        Number of paths and days per path.
    rng : numpy.random.Generator
        Source of the shocks.

    Returns
    -------
    float64 array, shape [n, T]
        Paths from the stationary law, after a burn-in of 500 days or more.

    Raises
    ------
    FitnessError
        If the training returns are degenerate or the fit does not converge.

    References
    ----------
    Bollerslev (1987), Review of Economics and Statistics 69(3), 542-547, doi:10.2307/1925546.
    """
    return _simulate(train_returns, 0, n, T, rng)


def gjr_garch_t(
    train_returns: npt.ArrayLike, n: int, T: int, rng: np.random.Generator
) -> FloatArray:
    """GJR-GARCH(1,1,1) with Student-t shocks: as `garch_t`, but losses may weigh more than gains.

    Parameters
    ----------
    train_returns : array_like, shape [days]
        Daily log returns to fit.
    n, T : int
        Number of paths and days per path.
    rng : numpy.random.Generator
        Source of the shocks.

    Returns
    -------
    float64 array, shape [n, T]
        Paths from the stationary law, after a burn-in of 500 days or more.

    Raises
    ------
    FitnessError
        If the training returns are degenerate or the fit does not converge.

    References
    ----------
    Glosten, Jagannathan and Runkle (1993), Journal of Finance 48(5), 1779-1801,
    doi:10.1111/j.1540-6261.1993.tb05128.x.
    """
    return _simulate(train_returns, 1, n, T, rng)


def garch_t_history(
    train_returns: npt.ArrayLike,
    histories: Sequence[npt.ArrayLike],
    T: int,
    rng: np.random.Generator,
    members: int = 1,
) -> FloatArray:
    """Continue each history with the GARCH(1,1)-t fitted on the training returns.

    All parameters are the training fit's except omega, which is set by variance targeting:
    the variance that the path reverts to is that of the history's last 750 days (all, if fewer).
    The first day's variance is filtered over those same days.

    Parameters
    ----------
    train_returns : array_like, shape [days]
        Daily log returns to fit.
    histories : sequence of array_like, each of shape [days]
        Daily log returns known before each window, 30 days or more.
    T : int
        Days per path.
    rng : numpy.random.Generator
        Source of the shocks.
    members : int
        Paths per history.

    Returns
    -------
    float64 array, shape [len(histories) * members, T]
        Those of one history side by side.

    Raises
    ------
    FitnessError
        If the training returns or a history are degenerate, or the fit does not converge.

    References
    ----------
    Engle and Mezrich (1996), GARCH for groups, Risk 9(8), 36-40 (variance targeting).
    """
    fit = fit_garch_t(train_returns, 0)
    paths = np.empty((len(histories), members, T))
    for i, history in enumerate(histories):
        recent = usable(history, f"history {i}")[-GARCH_TRAILING_DAYS:] * PERCENT
        model = ConstantMean(
            recent, volatility=GARCH(), distribution=StudentsT(seed=rng), rescale=False
        )
        # not model.fix(...).forecast: it copies the generator, and all paths would share shocks
        continued = model.forecast(
            fit.parameters(recent.var()), horizon=T, method="simulation", simulations=members
        )
        paths[i] = np.asarray(continued.simulations.values, dtype=np.float64).reshape(members, T)
    return np.asarray(paths.reshape(-1, T) / PERCENT)


def block_bootstrap(
    returns: npt.ArrayLike, n: int, T: int, rng: np.random.Generator, block_days: int | None = None
) -> FloatArray:
    """Real returns, redrawn in moving blocks.

    By default a block is a whole path, so that a path is a real window and the target split's
    own bootstrap is the ceiling that `fitness.distance.make_target` measures noise by. A series
    shorter than T has blocks of its own length at most, glued together.

    Parameters
    ----------
    returns : array_like, shape [days]
        Daily log returns to draw from.
    n, T : int
        Number of paths and days per path.
    rng : numpy.random.Generator
        Source of the block starts.
    block_days : int, optional
        Block length; the default is T.

    Returns
    -------
    float64 array, shape [n, T]
        Blocks with independent uniform starts, the last one cut at T.

    Raises
    ------
    FitnessError
        If the returns are degenerate or `block_days` is not positive.

    References
    ----------
    Kuensch (1989), Annals of Statistics 17, 1217-1241, doi:10.1214/aos/1176347265.
    """
    series = usable(returns, "returns to redraw")
    return np.asarray(series[redraw_days(len(series), n, T, rng, block_days)])


def redraw_days(
    days: int, n: int, T: int, rng: np.random.Generator, block_days: int | None = None
) -> npt.NDArray[np.int64]:
    """Draw the days of `block_bootstrap`, int64[n, T], of a series with so many."""
    block = min(T if block_days is None else block_days, days)
    if block < 1:
        raise FitnessError(f"block_days={block_days}, T={T}: expected one day or more")
    starts = rng.integers(days - block + 1, size=(n, -(-T // block)))
    return np.asarray((starts[..., None] + np.arange(block)).reshape(n, -1)[:, :T])


def _simulate(
    train_returns: npt.ArrayLike, asymmetric: int, n: int, T: int, rng: np.random.Generator
) -> FloatArray:
    fit = fit_garch_t(train_returns, asymmetric)
    model = ConstantMean(volatility=GARCH(o=asymmetric), distribution=StudentsT(seed=rng))
    parameters = fit.parameters(fit.variance)
    paths = [
        model.simulate(parameters, T, burn=GARCH_BURN_IN_DAYS)["data"].to_numpy() for _ in range(n)
    ]
    return np.asarray(np.stack(paths) / PERCENT)
