"""Taking back what a turn left in the book."""

import numpy as np

from evobourse.market.book.order_events import Kind, Reason
from evobourse.market.crowd import Orders, TurnOutcome


def withdraw(outcome: TurnOutcome) -> Orders:
    """Return cancels of all orders of a turn that still rest."""
    orders = outcome.orders
    rests = (
        (outcome.filled < orders.quantity)
        & (outcome.reason == Reason.NONE)
        & (orders.column("kind") != Kind.CANCEL)
        & (outcome.number >= 0)
    )
    agent = orders.agent[rests]
    return Orders(
        agent,
        orders.side[rests],
        orders.price_ticks[rests],
        np.zeros_like(agent),
        asset=orders.column("asset")[rests],
        kind=np.full(len(agent), Kind.CANCEL),
        target=outcome.number[rests],
    )
