"""The predictive score: of what use on real days a forecaster is that learnt on simulated ones.

Whether anything can be forecast at all, the same forecaster trained on real days says.

References
----------
Berti, Prenkaj and Velardi (2025), TRADES: generating realistic market simulations with diffusion
models, arXiv 2502.07071: mean absolute error on real data of a model trained on synthetic data.
Theirs is an LSTM on order books; what differs here, and why, is in
docs/decisions/034-behaviour-and-robustness.md.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray, path_faults

LAG_DAYS = 20
"""Days that a forecast looks back: a trading month."""

PENALTIES = tuple(float(a) for a in np.logspace(-1, 4, 11))
"""Ridge penalties, of which leave-one-out on the training windows chooses."""

LEAST_TEST_DAYS = 100
"""With fewer real days to forecast the errors of two forecasters cannot be told apart."""

Quantity = Literal["return", "magnitude"]


@dataclass(frozen=True, eq=False)
class PredictiveScore:
    """Errors on the same real test days, in units of the real training days' deviation.

    Parameters
    ----------
    quantity : {"return", "magnitude"}
        What was forecast: the next day's log return or its absolute value.
    simulated : float
        Mean absolute error of the forecaster trained on simulated days: the score, lower is
        better.
    real : float
        The same, trained on real training days.
    constant : float
        The same of the training days' mean, whatever happened before.
    errors_simulated, errors_real, errors_constant : float64 array, shape [days]
        Absolute errors, for a test.
    """

    quantity: Quantity
    simulated: float
    real: float
    constant: float
    errors_simulated: FloatArray
    errors_real: FloatArray
    errors_constant: FloatArray

    @property
    def ratio(self) -> float:
        """Simulated over real: 1 if simulated days teach as much as real ones."""
        return self.simulated / self.real


def cut_windows(returns: npt.ArrayLike, quantity: Quantity) -> tuple[FloatArray, FloatArray]:
    """Cut each path into what was known and what came next; no window crosses two paths.

    Parameters
    ----------
    returns : array_like, shape [S, T]
        Returns in any one unit, T over `LAG_DAYS`.
    quantity : {"return", "magnitude"}
        What comes next.

    Returns
    -------
    known : float64 array, shape [S * (T - LAG_DAYS), 2 * LAG_DAYS]
        The days before, oldest first, then their absolute values.
    following : float64 array, shape [S * (T - LAG_DAYS)]
        The day after.
    """
    paths = np.asarray(returns, np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(paths, LAG_DAYS + 1, axis=1)
    flat = windows.reshape(-1, LAG_DAYS + 1)
    before, after = flat[:, :-1], flat[:, -1]
    known = np.concatenate([before, np.abs(before)], axis=1)
    return known, np.asarray(after if quantity == "return" else np.abs(after))


def predictive_score(
    simulated_returns: npt.ArrayLike,
    real_train: npt.ArrayLike,
    real_test: npt.ArrayLike,
    quantity: Quantity = "magnitude",
) -> PredictiveScore:
    """Train a forecaster on simulated days, and one on real days, and test both on other real days.

    The forecaster is a ridge regression on the last `LAG_DAYS` returns and their absolute values,
    standardised by its own training windows: small, without chance, and enough for the memory of
    volatility. One number, the standard deviation of the real training days, is the unit of all:
    simulated days of the wrong volatility teach the wrong scale. Windows are cut along time,
    within a path, before anything is fitted; nothing is shuffled.

    Parameters
    ----------
    simulated_returns : array_like, shape [S, T]
        Daily log returns of S simulated paths.
    real_train, real_test : array_like, shape [D] and [E]
        Daily log returns of real days to learn from and of other, later ones to forecast.
    quantity : {"return", "magnitude"}
        See `PredictiveScore`. Daily returns can hardly be forecast, their size can.

    Returns
    -------
    PredictiveScore

    Raises
    ------
    FitnessError
        If a path is too short or degenerate, or a window of the test days is among those to learn
        from: a forecaster must not have seen what it is tested on.
    """
    simulated, train, test = (
        np.atleast_2d(np.asarray(x, np.float64)) for x in (simulated_returns, real_train, real_test)
    )
    for name, paths in (("simulated", simulated), ("training", train), ("test", test)):
        if paths.ndim != 2 or not len(paths):
            raise FitnessError(f"{name} returns of shape {paths.shape}, expected [paths, days]")
        faults = path_faults(paths)
        if (bad := np.flatnonzero(faults != "")).size:
            raise FitnessError(f"{name} path {bad[0]}: {faults[bad[0]]}; there is nothing to learn")
    if test.shape[1] < LEAST_TEST_DAYS + LAG_DAYS:
        raise FitnessError(
            f"{test.shape[1]} test days, expected {LEAST_TEST_DAYS + LAG_DAYS} or more"
        )
    for name, paths in (("simulated", simulated), ("training", train)):
        _refuse_shared_windows(name, paths, test)
    unit = train.std()
    known, following = cut_windows(test / unit, quantity)
    errors = []
    for paths in (simulated, train):
        seen, outcome = cut_windows(paths / unit, quantity)
        errors.append(np.abs(_fit(seen, outcome).predict(known) - following))
    mean = cut_windows(train / unit, quantity)[1].mean()
    errors.append(np.abs(mean - following))
    by_simulated, by_real, by_constant = errors
    return PredictiveScore(
        quantity=quantity,
        simulated=float(by_simulated.mean()),
        real=float(by_real.mean()),
        constant=float(by_constant.mean()),
        errors_simulated=by_simulated,
        errors_real=by_real,
        errors_constant=by_constant,
    )


def _fit(known: FloatArray, following: FloatArray) -> Pipeline:
    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(known, following)


def _refuse_shared_windows(name: str, paths: FloatArray, test: FloatArray) -> None:
    tested = {row.tobytes() for row in _bare_windows(test)}
    for number, row in enumerate(_bare_windows(paths)):
        if row.tobytes() in tested:
            path, day = divmod(number, paths.shape[1] - LAG_DAYS)
            raise FitnessError(
                f"{name} path {path}: the {LAG_DAYS + 1} days from day {day} are among the test "
                "days, so the score would be of memory: leave them out"
            )


def _bare_windows(paths: FloatArray) -> FloatArray:
    windows = np.lib.stride_tricks.sliding_window_view(paths, LAG_DAYS + 1, axis=1)
    return np.ascontiguousarray(windows.reshape(-1, LAG_DAYS + 1))
