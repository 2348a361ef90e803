"""What can happen to an exchange: news, shocks, changed rules, authored settlements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from evobourse.market.crowd import Message
from evobourse.market.crowds.person import RecordedPerson, parse_order
from evobourse.market.errors import MarketError
from evobourse.market.events.values import AT_SETTLEMENT, Agents, Checked, Rows, kind_of
from evobourse.market.hooks import Market
from evobourse.market.instruments import Instrument, ShortSales


@dataclass(frozen=True, kw_only=True)
class Event(Checked, ABC):
    """Something that happens on a day, from 0; see the classes that derive from it."""

    day: int

    @property
    def moment(self) -> tuple[int, int]:
        """Day and turn at which it happens."""
        return self.day, getattr(self, "turn", AT_SETTLEMENT)

    @abstractmethod
    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
        """Let it happen to an exchange, to these agents; return what happened, for the record."""


@dataclass(frozen=True, kw_only=True)
class News(Event):
    """A text that all agents hear before a turn.

    Attributes
    ----------
    text : str
        What is said.
    tone : float
        How good it is, in standard deviations of an ordinary day's news.
    source : str
        Where it comes from.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    text: str
    tone: float = 0.0
    source: str = ""

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
        """Send it."""
        exchange.send(Message("news", self.text, source=self.source, tone=self.tone))
        return {"text": self.text, "source": self.source, "tone": self.tone}


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
    tone : float
        How good it is, in standard deviations of an ordinary day's news.
    source : str
        Where it is said to come from.
    turn : int
        Before which turn of the day.
    """

    turn: int = 0
    agents: Agents
    text: str
    is_true: bool = True
    tone: float = 0.0
    source: str = ""

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
        """Send it."""
        message = Message("rumour", self.text, rows, self.is_true, self.source, self.tone)
        exchange.send(message)
        said = {"text": self.text, "source": self.source, "is_true": self.is_true}
        said["tone"] = self.tone
        return {**said, "agents": _listed(rows)}


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

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
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

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
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

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
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

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
        """Change them, and say so to all."""
        asset = exchange.asset(self.asset)
        exchange.change_terms(asset, **self.changes)
        said = ", ".join(f"{name} {value}" for name, value in self.changes.items())
        exchange.send(Message("notice", f"New terms of {self.asset}: {said}."))
        return self.changes


@dataclass(frozen=True, kw_only=True)
class Order(Event):
    """The person in the market sends an order, see `market.crowds.person.RecordedPerson`.

    Attributes
    ----------
    line : str
        The order, in the words of `market.crowds.person.GRAMMAR`.
    turn : int
        In which turn of the day.
    """

    turn: int = 0
    line: str

    def check(self, exchange: Market) -> RecordedPerson:
        """Return the person.

        Raises
        ------
        MarketError
            If there is none, or the order cannot be read.
        """
        for crowd in exchange.floor.crowds:
            if isinstance(crowd, RecordedPerson):
                parse_order(self.line, crowd.assets)
                return crowd
        raise MarketError(f"order {self.line!r}: no person trades here; seat one")

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
        """Send it with the turn's other orders."""
        self.check(exchange).type(self.line)
        return {"line": self.line}


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

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
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

    def apply(self, exchange: Market, rows: Rows | None) -> dict[str, Any]:
        """Cancel them, and say so to all before the next turn."""
        asset = exchange.asset(self.asset)
        exchange.cancel_trades(asset)
        exchange.send(Message("notice", f"The day's trades in {self.asset} are cancelled."))
        fills = exchange.listings[asset].fills_today()
        return {"trades": len(fills), "lots": int(fills.quantity.sum())}


KINDS: dict[str, type[Event]] = {
    kind_of(event): event
    for event in (News, Rumour, Windfall, Halt, Resume, ChangeTerms, Order, SettleAt, CancelTrades)
}


def _listed(rows: Rows | None) -> list[int]:
    return [] if rows is None else rows.tolist()
