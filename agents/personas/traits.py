"""What sets a persona's agents apart from others of their society, beside their minds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES


@dataclass(frozen=True)
class OrderStyle:
    """How a persona's orders differ from those of its society; each multiplies what is drawn.

    Attributes
    ----------
    aggressiveness
        How far a tendency carries the limit price.
    dispersion
        Spread of limit prices around that.
    size
        Quantity.
    patience
        Days that an order stays, beyond the first, where orders live longer than a day.
    """

    aggressiveness: float = 1.0
    dispersion: float = 1.0
    size: float = 1.0
    patience: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 100 or (name == "size" and value == 0):
                raise AgentError(f"orders: {name} is {value}, expected over 0 to 100")


@dataclass(frozen=True)
class Traits:
    """Traits of a persona; those left out are the society's.

    Attributes
    ----------
    never_sees
        Observation fields that its agents are never shown, whatever else their masks allow.
    activity
        Multiplies the probability that an agent with a tendency sends an order.
    wealth
        Multiplies the wealth drawn for an agent.
    receptivity
        Part of the tone of messages and rumours that its agents hear.
    orders
        Style of their orders.
    shared_reading
        Multiplies what they misread together, see `agents.personas.mechanisms.Mechanisms`.
    """

    never_sees: tuple[str, ...] = ()
    activity: float = 1.0
    wealth: float = 1.0
    receptivity: float = 1.0
    orders: OrderStyle = OrderStyle()
    shared_reading: float = 1.0

    def __post_init__(self) -> None:
        for name in self.never_sees:
            if name not in FIELD_NAMES:
                raise AgentError(
                    f"never_sees: {name!r} is no field, expected some of {', '.join(FIELD_NAMES)}"
                )
        limits = {"activity": 100, "wealth": 1e6, "receptivity": 1, "shared_reading": 100}
        for name, most in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= most or (name == "wealth" and value == 0):
                raise AgentError(f"{name} is {value}, expected {'over ' * (most > 1)}0 to {most:g}")


@dataclass(frozen=True, eq=False)
class TraitTable:
    """Traits of P personas as arrays.

    Attributes
    ----------
    never
        bool[P, F], the fields that a persona is never shown.
    activity, wealth, receptivity, shared_reading
        float64[P].
    orders
        float64[4, P]: aggressiveness, dispersion, size, patience.
    """

    never: NDArray[np.bool_]
    activity: NDArray[np.float64]
    wealth: NDArray[np.float64]
    receptivity: NDArray[np.float64]
    orders: NDArray[np.float64]
    shared_reading: NDArray[np.float64]

    @classmethod
    def of(cls, traits: Sequence[Traits | None]) -> TraitTable:
        """Put personas' traits side by side, in arrays that nobody changes."""
        return _table(tuple(one or Traits() for one in traits))


@cache  # markets by the thousand are of few casts
def _table(given: tuple[Traits, ...]) -> TraitTable:
    return TraitTable(
        np.array([[name in one.never_sees for name in FIELD_NAMES] for one in given]),
        np.array([one.activity for one in given]),
        np.array([one.wealth for one in given]),
        np.array([one.receptivity for one in given]),
        np.array([list(asdict(one.orders).values()) for one in given]).T,
        np.array([one.shared_reading for one in given]),
    )


ORDER_STYLES: dict[str, OrderStyle] = {
    "momentum": OrderStyle(aggressiveness=1.25, patience=0.5),
    "value": OrderStyle(aggressiveness=0.75, patience=2.0),
    "contrarian": OrderStyle(aggressiveness=0.75, dispersion=1.25, patience=1.5),
    "breakout": OrderStyle(aggressiveness=1.5, patience=0.25),
    "risk-averse": OrderStyle(aggressiveness=0.75, size=0.75),
    "herding": OrderStyle(aggressiveness=1.25, patience=0.5),
    "news-driven": OrderStyle(aggressiveness=1.5, patience=0.25),
}
"""Assumptions, by what each style lives on: who follows a move pays to be in it, who waits for a
price waits. No order data tells styles apart; docs/decisions/089-orders-by-regime.md."""


def order_style(weights: Mapping[str, float]) -> OrderStyle:
    """Return the style of orders of a mixture: the geometric mean of its styles'.

    Parameters
    ----------
    weights
        Coefficient of each style; those of 0 or less, and styles not in `ORDER_STYLES`, count as
        no style. What is missing to 1 is the society's own style.
    """
    held = {name: max(weight, 0.0) for name, weight in weights.items() if name in ORDER_STYLES}
    total = max(sum(held.values()), 1.0)
    return OrderStyle(
        **{
            field.name: float(
                np.exp(
                    sum(
                        weight / total * np.log(getattr(ORDER_STYLES[name], field.name))
                        for name, weight in held.items()
                    )
                )
            )
            for field in fields(OrderStyle)
        }
    )
