"""Orders drawn by regime against real days that no fit has seen: distances, regime by regime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from evobourse.agents.crowds.offsets import fit_offsets
from evobourse.agents.crowds.order_law import RECENT_DAYS
from evobourse.agents.crowds.order_regimes import (
    USUAL_DAYS,
    OrderMixture,
    RealOrders,
    fit_regimes,
    measure_orders,
)
from evobourse.market.series.named import load_series

TRAIN_END, HELDOUT_START = np.datetime64("2006-12-29"), np.datetime64("2007-06-01")
DRAWS = 20_000


def measure_series(name: str) -> tuple[RealOrders, RealOrders, NDArray[np.float64]]:
    """Measure a series' training and held-out days, and draw from the generator in use.

    Returns
    -------
    RealOrders, RealOrders, NDArray
        The third is float64[T, n]: draws of `agents.crowds.offsets` for each held-out day, whose
        unit is the volatility of the last 20 days, in units of the usual one.
    """
    series = load_series(name)
    stop, start = (int((series.dates <= day).sum()) for day in (TRAIN_END, HELDOUT_START))
    train, later = series.slice(0, stop), series.slice(start - USUAL_DAYS - 1, len(series))
    real = [measure_orders(s.high, s.low, s.close, s.volume) for s in (train, later)]
    returns = np.diff(np.log(train.close))
    sigma = np.lib.stride_tricks.sliding_window_view(returns, RECENT_DAYS)[:-1].std(axis=1)
    before = np.log(train.close[RECENT_DAYS:-1])
    reach = np.concatenate(
        [(np.log(x[RECENT_DAYS + 1 :]) - before) / sigma for x in (train.high, train.low)]
    )
    rng = np.random.default_rng(0)
    clusters = fit_offsets(train.high, train.low, train.close)
    shape = len(real[1].unit), 40
    drawn = clusters.draw(rng.random(shape).ravel(), rng.standard_normal(shape).ravel())
    recent = np.exp(real[1].signs[:, 0])  # over the usual
    return real[0], real[1], (reach.mean() + reach.std() * drawn.reshape(shape)) * recent[:, None]


def order_table(name: str) -> str:
    """Return distances of drawn from real held-out reaches, by regime, for each generator."""
    train, later, present = measure_series(name)
    lines = [
        f"{name}, fitted up to {TRAIN_END}, held out from {HELDOUT_START}:",
        "",
        "| fit | regime | days, train | held out | own: W1 | one fit for all: W1 "
        "| in use, by 20-day volatility: W1 | own: KS | one for all: KS | in use: KS "
        "| volumes, own: W1 | one for all: W1 |",
        "|---" * 12 + "|",
    ]
    for kind in ("gaussian", "kmeans"):
        fitted, single = (fit_regimes(train, n, kind) for n in (3, 1))
        there, here = fitted.regime(train.signs), fitted.regime(later.signs)
        level = np.log(np.exp(train.quantity).mean())
        for r in range(3):
            days = here == r
            reach = np.concatenate([later.high[days], later.low[days]])
            volume = later.quantity[days] - level
            own, common = (
                _draw(m, f.reach)
                for m, f in ((fitted.mixtures[r], fitted), (single.mixtures[0], single))
            )
            offsets = own[0], common[0], present[days].ravel()
            cells = [
                *(f"{wasserstein_distance(reach, x):.3f}" for x in offsets),
                *(f"{ks_2samp(reach, x).statistic:.3f}" for x in offsets),
                *(f"{wasserstein_distance(volume, x[1]):.3f}" for x in (own, common)),
            ]
            counts = f"{(there == r).sum()} | {days.sum()}"
            lines.append(f"| {kind} | {r} | {counts} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _draw(
    mixture: OrderMixture, reach: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    offset, quantity = mixture.draw(rng.random(DRAWS), rng.standard_normal((2, DRAWS)))
    return reach[0] + reach[1] * offset, quantity
