"""One stream of events through one other order book, a call an event, in the peers' environment.

Nothing of this project is installed there: the stream is read from one file, and the trades and the
seconds are written to another.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

LIMIT, MARKET = 0, 1  # any other event is a cancel

Event = tuple[int, int, int, bool, int, int, int]
"""Kind, time, agent, whether it buys, price in ticks, quantity, and the number of a target."""

Trade = tuple[int, int, int, int]


def main() -> None:
    """Run ``peer_books.py NAME STREAM ANSWER``."""
    name, stream, answer = sys.argv[1:]
    send = {"bourse": send_to_bourse, "pams": send_to_pams}[name]
    columns: dict[str, list[Any]] = {
        key: values.tolist() for key, values in np.load(stream).items()
    }
    columns["buys"] = [side > 0 for side in columns["side"]]
    names = ("kind", "time", "agent", "buys", "price_ticks", "quantity", "target")
    events = list(zip(*(columns[name] for name in names), strict=True))
    seconds, fills = send(events)
    np.savez(answer, seconds=seconds, fills=np.array(fills))


def send_to_bourse(events: list[Event]) -> tuple[float, list[Trade]]:
    """Return the seconds and the trades: price, quantity, incoming and resting order's number."""
    from bourse.core import OrderBook

    book = OrderBook(0, 1)
    order_of: dict[int, int] = {}
    number_of: list[int] = []
    began = time.perf_counter()
    for number, (kind, when, agent, buys, price_ticks, quantity, target) in enumerate(events):
        book.set_time(when)
        if kind == LIMIT:
            order_of[number] = book.place_order(buys, quantity, agent, price_ticks)
            number_of.append(number)
        elif kind == MARKET:
            book.place_order(buys, quantity, agent)
            number_of.append(number)
        else:
            book.cancel_order(order_of[target])
    trades = book.get_trades()
    seconds = time.perf_counter() - began
    return seconds, [
        (price_ticks, quantity, number_of[incoming], number_of[resting])
        for _, _, price_ticks, quantity, incoming, resting in trades
    ]


def send_to_pams(events: list[Event]) -> tuple[float, list[Trade]]:
    """Return the seconds and the trades as `pams` logs them: price, quantity, buy and sell."""
    import random

    from pams import LIMIT_ORDER, MARKET_ORDER, Cancel, Market, Order, Simulator

    market = Market(0, random.Random(0), Simulator(random.Random(0)), "stock")
    market.setup({"tickSize": 1, "marketPrice": 10_000})
    market._is_running = True
    market._update_time(next_fundamental_price=10_000)
    orders: dict[int, Order] = {}
    trades: list[Any] = []
    began = time.perf_counter()
    for number, (kind, _, agent, buys, price_ticks, quantity, target) in enumerate(events):
        if kind == LIMIT:
            order = Order(agent, 0, buys, LIMIT_ORDER, quantity, price=price_ticks)
        elif kind == MARKET:
            order = Order(agent, 0, buys, MARKET_ORDER, quantity)
        else:
            market._cancel_order(Cancel(orders[target]))
            continue
        orders[number] = order
        market._add_order(order)
        trades += market._execution()
    seconds = time.perf_counter() - began
    return seconds, [(log.price, log.volume, log.buy_order_id, log.sell_order_id) for log in trades]


if __name__ == "__main__":
    main()
