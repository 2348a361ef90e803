"""The reference laws by the names that every table gives them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    FrankeWesterhoff,
    franke_westerhoff,
)
from evobourse.fitness.baselines.stochastic_volatility import stochastic_volatility
from evobourse.fitness.baselines.without_agents import (
    block_bootstrap,
    garch_t,
    gbm,
    gjr_garch_t,
)
from evobourse.fitness.moments import FloatArray

Law = Callable[[int, int, np.random.Generator], FloatArray]
"""From a number of paths, their days and a stream to daily log returns [paths, days]."""

LAW_NAMES = {
    "gbm": "geometric Brownian motion",
    "garch_t": "GARCH-t",
    "gjr_garch_t": "GJR-GARCH-t",
    "stochastic_volatility": "stochastic volatility",
    "fw_published": "Franke-Westerhoff, published",
    "fw": "Franke-Westerhoff, calibrated",
    "fw_t": "Franke-Westerhoff, Student-t",
    "bootstrap_train": "real training days, redrawn",
    "bootstrap_target": "real target days, redrawn",
}


def reference_laws(
    train: npt.ArrayLike, target: npt.ArrayLike, calibrate: Callable[[bool], FrankeWesterhoff]
) -> dict[str, Law]:
    """List the laws, in the order of `LAW_NAMES`.

    Parameters
    ----------
    train, target : array_like, shape [days]
        Daily log returns that laws are fitted on, and those that they are judged by.
    calibrate : callable
        Finds the Franke-Westerhoff market, with Student noise or without; called when such a law
        is drawn from.
    """

    def calibrated(student: bool, n: int, days: int, rng: np.random.Generator) -> FloatArray:
        return franke_westerhoff(calibrate(student), n, days, rng)

    return {
        "gbm": partial(gbm, train),
        "garch_t": partial(garch_t, train),
        "gjr_garch_t": partial(gjr_garch_t, train),
        "stochastic_volatility": partial(stochastic_volatility, train),
        "fw_published": partial(franke_westerhoff, PUBLISHED),
        "fw": partial(calibrated, False),
        "fw_t": partial(calibrated, True),
        "bootstrap_train": partial(block_bootstrap, train),
        "bootstrap_target": partial(block_bootstrap, target),
    }
