"""The picture of a simulation: prices after their history, what happened, and volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.evolve.bundle import Bundle
from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.reports.figures import figure_bytes, new_figure, plain_axes
from evobourse.fitness.palette import INK, MUTED, SIMULATED


def draw_prices(
    closes_ticks: NDArray[np.int64],
    volumes: NDArray[np.int64],
    bundle: Bundle,
    out: Path,
    events: pd.DataFrame | None = None,
) -> None:
    """Draw closes int64[T + 1] after a bundle's history, volumes int64[T], and events' days."""
    figure = new_figure(11, 6)
    price, volume = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    past = bundle.history[-len(volumes) :]
    price.plot(np.arange(-len(past) + 1, 1), past / 100, color=INK, lw=1.2, label="history")
    closes = closes_ticks / 100
    price.plot(np.arange(len(closes)), closes, color=SIMULATED, lw=1.4, label="simulated")
    price.set(ylabel="close (history ends at 100)", title=f"{bundle.name}: the population trades")
    if events is not None:
        for row, day in enumerate(np.unique(events["day"]).tolist()):
            kinds = events.loc[events["day"] == day, "kind"]
            price.axvline(day + 1, color=MUTED, lw=0.8, ls=":")
            price.annotate(
                ", ".join(kind.replace("_", " ") for kind in dict.fromkeys(kinds)),
                (day + 1, 0.02 + 0.3 * (row % 2)),
                xycoords=price.get_xaxis_transform(),
                rotation=90,
                fontsize=8,
                color=MUTED,
                ha="right",
            )
    price.legend(frameon=False)
    volume.bar(np.arange(1, len(closes)), volumes, width=1.0, color=SIMULATED, alpha=0.6)
    volume.set(ylabel="volume (shares)", xlabel="day (0: the simulation begins)")
    plain_axes(price, volume)
    replace_bytes(out / "prices.png", figure_bytes(figure))
