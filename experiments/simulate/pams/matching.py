"""How PAMS's matching differs from ours, on the orders that one of its runs has had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from evobourse.market.book.book import BookRules, OrderBook
from evobourse.market.book.order_events import Kind, OrderEvents


def compare_matching(log: pd.DataFrame) -> dict[str, Any]:
    """Clear each day's orders of a run in a call of ours.

    Parameters
    ----------
    log
        See `simulate.pams.agent.play`.

    Returns
    -------
    dict
        Of PAMS: ``days``, ``orders``, ``trades``, ``volume``, the ``last_price``, the standard
        deviation of log returns as ``volatility`` and how many ``prices`` a day's trades have at
        most. Of our calls: ``volume_ratio``, their volume over PAMS's; ``same_price``, the share
        of days with the same last price; and ``price_apart_percent`` between the two in the mean.
    """
    orders, trades = log[log["what"] == "order"], log[log["what"] == "trade"]
    starts = np.sort(_days(orders)["step"].unique())
    by_day = trades.groupby(np.searchsorted(starts, trades["step"], side="right") - 1)
    last, lots = by_day["price_ticks"].last(), by_day["quantity"].sum()
    calls = _calls(_days(orders), starts)
    apart = (calls["price_ticks"] / last - 1.0).abs().dropna()
    moves = np.diff(np.log(last.to_numpy(np.float64)))
    return {
        "days": len(starts),
        "orders": len(orders),
        "trades": len(trades),
        "volume": int(lots.sum()),
        "last_price": float(last.iloc[-1]) / 100 if len(last) else None,
        "volatility": float(moves.std()) if len(moves) else None,
        "prices": int(by_day["price_ticks"].nunique().max()) if len(last) else 0,
        "volume_ratio": float(calls["quantity"].sum() / lots.sum()) if len(last) else None,
        "same_price": float((apart == 0).mean()) if len(apart) else None,
        "price_apart_percent": 100 * float(apart.mean()) if len(apart) else None,
    }


def _days(orders: pd.DataFrame) -> pd.DataFrame:
    """Leave out the bids that only start the matching."""
    return orders[orders["price_ticks"] > 1]


def _calls(orders: pd.DataFrame, starts: Any) -> pd.DataFrame:
    """Clear each day's orders in one call: price and volume by day."""
    found = {}
    for day, step in enumerate(starts):
        events = orders[orders["step"] == step]
        columns = {
            name: np.array([edge, *events[name], edge], np.int64)
            for name, edge in (("agent", 0), ("side", 1), ("price_ticks", 1), ("quantity", 0))
        }
        kinds = [Kind.CALL, *[Kind.LIMIT] * len(events), Kind.UNCROSS]
        reference = int(events["price_ticks"].iloc[0])
        book = OrderBook(BookRules(1, int(events["price_ticks"].max()) + 1), reference)
        fills, _ = book.process(OrderEvents.of(kinds, time=day, **columns))
        if len(fills):
            found[day] = (int(fills.price_ticks[-1]), int(fills.quantity.sum()))
    return pd.DataFrame.from_dict(found, orient="index", columns=["price_ticks", "quantity"])
