"""What can happen to an exchange from outside: news, shocks, changed rules, authored settlements.

Knows: the kinds of event, what each needs to be told, and which of an exchange's methods it uses.
Does not know: when it is its turn, or what else happens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from market.crowd import Message
from market.errors import MarketError
from market.instruments import Instrument, ShortSales

if TYPE_CHECKING:
    from market.exchange import Exchange

AT_SETTLEMENT = 2**31
"""The turn of what happens after a day's last trade."""

Rows = NDArray[np.int64]

_RANGES = {
    "day": (0, 2**31),
    "turn": (0, AT_SETTLEMENT - 1),
    "crowd": (0, 2**31),
    "share": (0.0, 1.0),
    "price_ticks": (1, 2**31),
    "factor": (1e-6, 1e6),
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

    def choose(self, exchange: Exchange, rng: np.random.Generator | None) -> Rows:
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


@dataclass(frozen=True, kw_only=True)
class Event(Checked):
    """Something that happens on a day, from 0; see the classes that derive from it."""

    day: int

    @property
    def moment(self) -> tuple[int, int]:
        """Day and turn at which it happens."""
        return self.day, getattr(self, "turn", AT_SETTLEMENT)

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Let it happen to an exchange, to these agents; return what happened, for the record."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class News(Event):
    """A text that all agents hear before a turn.

    Attributes
    ----------
    text : str
        What is said.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    text: str

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Send it."""
        exchange.send(Message("news", self.text))
        return {"text": self.text}


@dataclass(frozen=True, kw_only=True)
class Rumour(Event):
    """A text that some agents hear before a turn, and nobody is told whether it holds.

    Attributes
    ----------
    agents : Agents
        Who hears it.
    text : str
        What is said.
    is_true : bool
        Whether it holds.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    agents: Agents
    text: str
    is_true: bool = True

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Send it."""
        exchange.send(Message("rumour", self.text, rows, self.is_true))
        return {"text": self.text, "is_true": self.is_true, "agents": _listed(rows)}


@dataclass(frozen=True, kw_only=True)
class Windfall(Event):
    """Cash or lots of an equity for each of some agents; taken away if negative.

    Attributes
    ----------
    agents : Agents
        Who gets it.
    cash_cents : int
        Cash for each; an agent cannot lose more than it has.
    asset : str, optional
        Of what there are lots.
    quantity : int
        Lots for each.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    agents: Agents
    cash_cents: int = 0
    asset: str | None = None
    quantity: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.asset is None) != (self.quantity == 0):
            raise MarketError(
                f"windfall of {self.quantity} lots of {self.asset!r}, expected both or neither"
            )
        if self.cash_cents == 0 and self.quantity == 0:
            raise MarketError("windfall of nothing; set cash_cents, or asset and quantity")

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Grant it to one agent after another."""
        asset = 0 if self.asset is None else exchange.asset(self.asset)
        for row in _listed(rows):
            exchange.grant(row, self.cash_cents, asset, self.quantity)
        return {
            "agents": _listed(rows),
            "cash_cents": self.cash_cents,
            "quantity": self.quantity,
        }


@dataclass(frozen=True, kw_only=True)
class Halt(Event):
    """From this turn on no order for an asset is taken; cancels are.

    Attributes
    ----------
    asset : str
        Which asset.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    asset: str

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Halt it, and say so to all."""
        exchange.halt(exchange.asset(self.asset))
        exchange.send(Message("notice", f"Trading in {self.asset} is halted."))
        return {}


@dataclass(frozen=True, kw_only=True)
class Resume(Event):
    """From this turn on orders for an asset are taken again.

    Attributes
    ----------
    asset : str
        Which asset.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    asset: str

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Resume it, and say so to all."""
        exchange.halt(exchange.asset(self.asset), halted=False)
        exchange.send(Message("notice", f"Trading in {self.asset} is resumed."))
        return {}


@dataclass(frozen=True, kw_only=True)
class ChangeTerms(Event):
    """From this turn on other terms hold for an asset; what is left out stays.

    Attributes
    ----------
    asset : str
        Which asset.
    price_limit, fee_bps, sell_tax_bps, sell_next_day, short_sales, initial_margin_bps,
    maintenance_margin_bps : optional
        As in :class:`~market.instruments.Instrument`; at least one.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    asset: str
    price_limit: float | None = None
    fee_bps: int | None = None
    sell_tax_bps: int | None = None
    sell_next_day: bool | None = None
    short_sales: ShortSales | None = None
    initial_margin_bps: int | None = None
    maintenance_margin_bps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.changes:
            raise MarketError(f"change_terms of {self.asset!r} changes nothing; set a term")

    @property
    def changes(self) -> dict[str, Any]:
        """The terms that are set."""
        terms = Instrument.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        values = {name: getattr(self, name) for name in sorted(terms)}
        return {name: value for name, value in values.items() if value is not None}

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Change them, and say so to all."""
        asset = exchange.asset(self.asset)
        exchange.change_terms(asset, **self.changes)
        said = ", ".join(f"{name} {value}" for name, value in self.changes.items())
        exchange.send(Message("notice", f"New terms of {self.asset}: {said}."))
        return self.changes


@dataclass(frozen=True, kw_only=True)
class SettleAt(Event):
    """The day's settlement and close of an asset are authored, whatever was traded.

    Attributes
    ----------
    asset : str
        Which asset.
    price_ticks : int, optional
        The price, without ``factor``.
    factor : float, optional
        Times the settlement that the day would have: of its volume-weighted price, or of the
        settlement before where nothing was traded or trades are cancelled. Rounded to a tick.
    """

    asset: str
    price_ticks: int | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.price_ticks is None) == (self.factor is None):
            raise MarketError(
                f"settle_at of {self.asset!r} has price_ticks {self.price_ticks} and factor "
                f"{self.factor}, expected one of the two"
            )

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Override the settlement."""
        asset = exchange.asset(self.asset)
        vwap_ticks = exchange.listings[asset].vwap_ticks()
        otherwise = vwap_ticks or int(exchange.ledger.mark_ticks[asset])
        price = self.price_ticks
        if self.factor is not None:
            price = max(1, round(self.factor * otherwise))
        exchange.override_settlement(asset, int(price or 0))
        return {"price_ticks": price, "instead_of_ticks": otherwise}


@dataclass(frozen=True, kw_only=True)
class CancelTrades(Event):
    """The day's trades in an asset are annulled before it settles.

    Attributes
    ----------
    asset : str
        Which asset.
    """

    asset: str

    def apply(self, exchange: Exchange, rows: Rows | None) -> dict[str, Any]:
        """Cancel them, and say so to all before the next turn."""
        asset = exchange.asset(self.asset)
        exchange.cancel_trades(asset)
        exchange.send(Message("notice", f"The day's trades in {self.asset} are cancelled."))
        fills = exchange.listings[asset].fills_today()
        return {"trades": len(fills), "lots": int(fills.quantity.sum())}


def kind_of(event: type[Checked]) -> str:
    """Return the name that YAML and records have for a class: ``SettleAt`` is settle_at."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()


KINDS: dict[str, type[Event]] = {
    kind_of(event): event
    for event in (News, Rumour, Windfall, Halt, Resume, ChangeTerms, SettleAt, CancelTrades)
}

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
}


def _as_rows(rows: Any) -> tuple[int, ...]:
    try:
        given = tuple(rows)
    except TypeError:
        given = ()
    if not given or any(not isinstance(row, int | np.integer) or row < 0 for row in given):
        raise MarketError(f"agents.rows is {rows!r}, expected rows of agents, at least one")
    return tuple(int(row) for row in given)


def _listed(rows: Rows | None) -> list[int]:
    return [] if rows is None else rows.tolist()
