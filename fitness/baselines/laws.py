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
    "fw_published": "Franke-Westerhoff, published",
    "fw": "Franke-Westerhoff, calibrated",
    "bootstrap_train": "real training days, redrawn",
    "bootstrap_target": "real target days, redrawn",
}


def reference_laws(
    train: npt.ArrayLike, target: npt.ArrayLike, calibrate: Callable[[], FrankeWesterhoff]
) -> dict[str, Law]:
    """List the laws, in the order of `LAW_NAMES`.

    Parameters
    ----------
    train, target : array_like, shape [days]
        Daily log returns that laws are fitted on, and those that they are judged by.
    calibrate : callable
        Finds the Franke-Westerhoff market; called when that law is first drawn from.
    """

    def calibrated(n: int, days: int, rng: np.random.Generator) -> FloatArray:
        return franke_westerhoff(calibrate(), n, days, rng)

    return {
        "gbm": partial(gbm, train),
        "garch_t": partial(garch_t, train),
        "gjr_garch_t": partial(gjr_garch_t, train),
        "fw_published": partial(franke_westerhoff, PUBLISHED),
        "fw": calibrated,
        "bootstrap_train": partial(block_bootstrap, train),
        "bootstrap_target": partial(block_bootstrap, target),
    }
