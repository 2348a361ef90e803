"""What events are told: values held against their annotations, and which agents are meant."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import MAX_TICKS
from evobourse.market.errors import MarketError
from evobourse.market.hooks import Market
from evobourse.market.instruments import ShortSales

AT_SETTLEMENT = 2**31
"""The turn of what happens after a day's last trade."""

Rows = NDArray[np.int64]

_RANGES = {
    "day": (0, 2**31),
    "turn": (0, AT_SETTLEMENT - 1),
    "crowd": (0, 2**31),
    "share": (0.0, 1.0),
    "price_ticks": (1, MAX_TICKS // 2 - 1),
    "factor": (1e-6, 1e6),
    "tone": (-100.0, 100.0),
}

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
}


@dataclass(frozen=True)
class Checked:
    """A frozen dataclass whose values are held against its annotations when it is made."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            value, name = getattr(self, item.name), f"{kind_of(type(self))}.{item.name}"
            allowed = get_args(hints[item.name]) or (hints[item.name],)
            if float in allowed and type(value) is int:
                object.__setattr__(self, item.name, float(value))
            elif hints[item.name] != ShortSales | None and type(value) not in allowed:
                expected = " or ".join(_WORDS.get(kind, kind.__name__) for kind in allowed)
                raise MarketError(f"{name} is {value!r}, expected {expected}")
            lowest, highest = _RANGES.get(item.name, (-(2**48), 2**48))
            if type(value) in (int, float) and not lowest <= value <= highest:
                raise MarketError(f"{name} is {value}, expected {lowest} to {highest}")


@dataclass(frozen=True)
class Agents(Checked):
    """Who is meant: these rows, a crowd, a share of a crowd or of all; all if nothing is said.

    Attributes
    ----------
    rows : tuple of int, optional
        Rows of all crowds, without the two others.
    crowd : int, optional
        Which crowd, by its place among the exchange's.
    share : float, optional
        Part of them, drawn once without replacement, in (0, 1]; at least one agent.

    Raises
    ------
    MarketError
        If a value is out of its range or does not go with another.
    """

    rows: tuple[int, ...] | None = None
    crowd: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if self.rows is not None:
            object.__setattr__(self, "rows", _as_rows(self.rows))
            if self.crowd is not None or self.share is not None:
                raise MarketError("agents.rows stands alone; leave out crowd and share")
            return
        super().__post_init__()
        if self.share == 0.0:
            raise MarketError("agents.share is 0.0, expected over 0, up to 1")

    def choose(self, exchange: Market, rng: np.random.Generator | None) -> Rows:
        """Return the rows meant at an exchange, rising; draw from ``rng`` for a share.

        Raises
        ------
        MarketError
            If there are no such agents, or nothing to draw from.
        """
        if self.rows is not None:
            if max(self.rows) >= exchange.n_agents:
                raise MarketError(
                    f"agents.rows has {max(self.rows)}, expected 0 to {exchange.n_agents - 1}"
                )
            return np.array(self.rows, np.int64)
        rows = np.arange(exchange.n_agents, dtype=np.int64)
        if self.crowd is not None:
            sizes = [crowd.n_agents for crowd in exchange.floor.crowds]
            if self.crowd >= len(sizes):
                raise MarketError(f"agents.crowd is {self.crowd}, expected 0 to {len(sizes) - 1}")
            start = sum(sizes[: self.crowd])
            rows = rows[start : start + sizes[self.crowd]]
        if self.share is None:
            return rows
        if rng is None:
            raise MarketError("agents.share is drawn at random; hand the schedule a Generator")
        return np.sort(rng.permutation(rows)[: max(1, round(self.share * len(rows)))])


def kind_of(event: type[Checked]) -> str:
    """Return the name that YAML and records have for a class: ``SettleAt`` is settle_at."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()


def _as_rows(rows: Any) -> tuple[int, ...]:
    try:
        given = tuple(rows)
    except TypeError:
        given = ()
    if not given or any(not isinstance(row, int | np.integer) or row < 0 for row in given):
        raise MarketError(f"agents.rows is {rows!r}, expected rows of agents, at least one")
    return tuple(int(row) for row in given)
