"""The real series that ship with a dependency, by name: what tables over several assets read.

Knows the Nasdaq Composite of arch beside what `market.series` loads. Deliberately does not know
what is measured on them.
"""

from __future__ import annotations

from market.series import PriceSeries, load_series

SHIPPED = ("sp500", "nasdaq")


def real_series(name: str) -> PriceSeries:
    """Load a shipped series, or anything that `market.series.load_series` takes."""
    if name != "nasdaq":
        return load_series(name)
    from arch.data import nasdaq  # arch pulls in statsmodels, which costs a second

    frame = nasdaq.load()
    columns = {name.lower(): frame[name] for name in ("Open", "High", "Low", "Close", "Volume")}
    return PriceSeries(name="nasdaq", dates=frame.index.to_numpy(), **columns)
