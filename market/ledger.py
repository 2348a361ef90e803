"""Cash and positions of every agent in every asset: what an order may use, what a trade moves.

With T+1, margins, fees, taxes, pools, marking to market and margin calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import MAX_TICKS, RestingOrders
from evobourse.market.book.order_events import OrderEvents
from evobourse.market.credit import (
    TERMS,
    add_orders,
    close_out,
    margin_holds,
    required,
    screen_orders,
    trade,
)
from evobourse.market.errors import MarketError
from evobourse.market.instruments import Instrument

SHORT_SALES = ("forbidden", "allowed", "uptick")
MAX_CASH_CENTS = 2**48
"""All cash together, so that no sum can overflow."""

_Column: TypeAlias = NDArray[np.int64]
Booked: TypeAlias = tuple[np.void, int, _Column, _Column, _Column, _Column]
"""Terms, asset, buyers, sellers, prices and lots of trades."""


@dataclass
class Pools:
    """Cash outside the accounts, in cents; all cash and all pools together never change.

    Attributes
    ----------
    fees_cents, taxes_cents : int
        Paid by traders.
    bankruptcy_cents : int
        Losses that no account could bear, 0 or less.
    granted_cents : int
        Minus the windfalls handed to agents.
    """

    fees_cents: int = 0
    taxes_cents: int = 0
    bankruptcy_cents: int = 0
    granted_cents: int = 0

    @property
    def total_cents(self) -> int:
        """Sum of all pools."""
        return self.fees_cents + self.taxes_cents + self.bankruptcy_cents + self.granted_cents


@dataclass(frozen=True, eq=False)
class Holds:
    """What positions and resting orders take of each agent's cash, and what they may yet move.

    Attributes
    ----------
    cash_cents : NDArray[np.int64]
        Reserved for resting orders: value of buys, fees, losses at the limit, shape [n].
    margin_cents : NDArray[np.int64]
        Initial margin of positions and resting orders at the worst, shape [n].
    buying, selling : NDArray[np.int64]
        Lots of resting buys and sells, shape [n, A].
    """

    cash_cents: NDArray[np.int64]
    margin_cents: NDArray[np.int64]
    buying: NDArray[np.int64]
    selling: NDArray[np.int64]


class Ledger:
    """Accounts at an exchange, changed in place.

    A future is marked at the last settlement price: a trade pays at once the difference between
    its price and the mark, a settlement the difference between the new mark and the old, so
    that cash alone is an account's equity in futures. An equity sold short leaves its proceeds
    in the account and takes them, with the margin, as collateral.

    Parameters
    ----------
    instruments : sequence of Instrument
        The assets, A of them.
    cash_cents : NDArray[np.int64]
        Cash of each agent, shape [n], 0 or more, 2**48 together at most.
    position : NDArray[np.int64]
        Lots of each agent in each asset, shape [n, A], at least 0 for equities; futures sum to
        zero over agents.
    mark_ticks : NDArray[np.int64]
        Settlement prices before the first day, shape [A], over 0.
    dealer : bool
        The last agent is one whose credit has no limit: never called, never written off.

    Attributes
    ----------
    unsettled : NDArray[np.int64]
        Lots bought today that cannot be sold today, shape [n, A].
    terms : NDArray[np.void]
        Instruments and marks as :data:`~market.credit.TERMS`, shape [A].
    queued : NDArray[np.int64]
        Lots to be traded by force, positive to buy, shape [n, A].
    pools : Pools
        Where fees, taxes and losses go.

    Raises
    ------
    MarketError
        If an array has the wrong type, shape or sign.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        cash_cents: NDArray[np.int64],
        position: NDArray[np.int64],
        mark_ticks: NDArray[np.int64],
        dealer: bool = False,
    ) -> None:
        agents, assets = len(cash_cents), len(instruments)
        for name, column, shape in (
            ("cash_cents", np.asarray(cash_cents), (agents,)),
            ("position", np.asarray(position), (agents, assets)),
            ("mark_ticks", np.asarray(mark_ticks), (assets,)),
        ):
            if column.dtype.kind not in "iu" or column.shape != shape:
                raise MarketError(
                    f"ledger.{name} is {column.dtype} of shape {column.shape}, "
                    f"expected integers of shape {shape}"
                )
        self.cash_cents = np.array(cash_cents, np.int64)
        self.position = np.array(position, np.int64)
        self.mark_ticks = np.array(mark_ticks, np.int64)
        self.unsettled = np.zeros_like(self.position)
        self.queued = np.zeros_like(self.position)
        self.pools = Pools()
        # Terms may change within a day: what is annulled goes back at those of its time.
        self._today: list[Booked] = []
        self.dealer = dealer
        self.instruments = list(instruments)
        self.terms = _terms(self.instruments, self.mark_ticks)
        self._refuse_bad_endowment()

    def __len__(self) -> int:
        return len(self.cash_cents)

    def change_terms(self, asset: int, instrument: Instrument) -> None:
        """Let other terms hold for an asset from now on."""
        self.instruments[asset] = instrument
        self.terms = _terms(self.instruments, self.mark_ticks)

    def holds(self, resting: Sequence[RestingOrders]) -> Holds:
        """Return what positions and resting orders take now.

        Parameters
        ----------
        resting : sequence of RestingOrders
            What rests in each asset's book, A of them.
        """
        nothing = np.zeros_like(self.position)
        margin = margin_holds(self.terms, self.position, nothing, nothing)
        holds = Holds(np.zeros(len(self), np.int64), margin, nothing, nothing.copy())
        for asset, orders in enumerate(resting):
            if len(orders):
                add_orders(
                    asset,
                    orders.agent,
                    orders.side,
                    orders.price_ticks,
                    orders.remaining,
                    self.terms,
                    self.position,
                    holds.cash_cents,
                    holds.margin_cents,
                    holds.buying,
                    holds.selling,
                )
        return holds

    def screen(
        self,
        events: OrderEvents,
        asset: NDArray[np.int16],
        holds: Holds,
        limits_ticks: NDArray[np.int64],
        last_ticks: NDArray[np.int64],
        halted: NDArray[np.bool_],
    ) -> NDArray[np.int8]:
        """Decide which orders an account can bear, in their order of arrival.

        Each order takes what it may need at its limit price, on top of what rests and of the
        orders before it. One that exceeds what is free is turned away whole, never cut down.
        What the turn's own trades and cancels may bring is not counted before the turn ends.

        Parameters
        ----------
        events : OrderEvents
            The turn's orders and cancels, m of them.
        asset : NDArray[np.int16]
            Asset of each, shape [m].
        holds : Holds
            What rests; raised in place by the orders let in.
        limits_ticks : NDArray[np.int64]
            Lowest and highest limit price of the day, shape [A, 2].
        last_ticks : NDArray[np.int64]
            Prices of the last trades, shape [A].
        halted : NDArray[np.bool_]
            Assets that take no order, shape [A].

        Returns
        -------
        NDArray[np.int8]
            A :class:`~market.order_events.Reason` of the account's or the halt's, 0 for an
            event to be passed on to the book, shape [m].
        """
        return np.asarray(
            screen_orders(
                events.kind,
                events.agent,
                events.side,
                events.price_ticks,
                events.quantity,
                asset,
                self.terms,
                self.cash_cents,
                self.position,
                self.unsettled,
                self.queued,
                holds.cash_cents,
                holds.margin_cents,
                holds.buying,
                holds.selling,
                limits_ticks,
                last_ticks,
                halted,
            )
        )

    def trade(
        self,
        asset: int,
        buyer: NDArray[np.int64],
        seller: NDArray[np.int64],
        price_ticks: NDArray[np.int64],
        quantity: NDArray[np.int64],
    ) -> None:
        """Exchange lots, cash, fees and taxes for trades.

        Parameters
        ----------
        asset : int
            Row of the asset.
        buyer, seller, price_ticks, quantity : NDArray[np.int64]
            Agents, price and lots of each trade, shape [f].
        """
        booked = (self.terms[asset].copy(), asset, buyer, seller, price_ticks, quantity)
        self._today.append(booked)
        self._book(booked, 1)

    def annul(self, asset: int) -> None:
        """Take back the asset's trades since the last settlement, to the cent."""
        for booked in self._today:
            if booked[1] == asset:
                self._book(booked, -1)
        self._today = [booked for booked in self._today if booked[1] != asset]

    def settle(self, settle_ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Mark futures to market, let T+1 pass, write off losses, queue forced liquidations.

        Parameters
        ----------
        settle_ticks : NDArray[np.int64]
            New settlement prices, shape [A], over 0.

        Returns
        -------
        NDArray[np.int64]
            The agents whose cash is under what their positions require: their margin calls.
            Their `queued` lots bring them back to the initial margin at the settlement price.
        """
        futures = self.terms["future"]
        change = (settle_ticks - self.mark_ticks) * self.terms["lot_tick_cents"]
        self.cash_cents += self.position[:, futures] @ change[futures]
        self.mark_ticks = np.array(settle_ticks, np.int64)
        self.terms["mark_ticks"] = self.mark_ticks
        self.unsettled[:] = 0
        self._today = []
        ruined = self._bound((self.cash_cents < 0) & ~self.position.any(axis=1))
        self.pools.bankruptcy_cents += int(self.cash_cents[ruined].sum())
        self.cash_cents[ruined] = 0
        called = np.flatnonzero(self._bound(self.cash_cents < self.required_cents()))
        self.queued[:] = 0
        close_out(called, self.terms, self.cash_cents, self.position, self.queued)
        return called

    def required_cents(self) -> NDArray[np.int64]:
        """Return the least cash that positions allow, maintenance margins, shape [n]."""
        return np.asarray(required(self.terms, self.position, self.terms["maintenance_bps"]))

    def equity_cents(self) -> NDArray[np.int64]:
        """Return cash and equities at the marks, shape [n]."""
        equities = ~self.terms["future"]
        value = self.mark_ticks * self.terms["lot_tick_cents"]
        return np.asarray(self.cash_cents + self.position[:, equities] @ value[equities])

    def grant(self, agent: int, cash_cents: int = 0, asset: int = 0, quantity: int = 0) -> None:
        """Hand an agent cash or lots of an equity, or take them away.

        Raises
        ------
        MarketError
            If more is taken away than there is, or the asset is a future.
        """
        if quantity and self.instruments[asset].kind == "future":
            raise MarketError(
                f"windfall of {quantity} lots of {self.instruments[asset].name!r}: futures "
                "positions arise from trades alone; grant cash or an equity"
            )
        cash_left = self.cash_cents[agent] + cash_cents
        lots_left = self.position[agent, asset] + quantity
        if cash_left < 0 > cash_cents or lots_left < 0 > quantity:
            raise MarketError(
                f"windfall of {cash_cents} cents and {quantity} lots for agent {agent}, who has "
                f"{self.cash_cents[agent]} and {self.position[agent, asset]}; take no more"
            )
        self.cash_cents[agent] += cash_cents
        self.pools.granted_cents -= cash_cents
        self.position[agent, asset] += quantity

    def _book(self, booked: Booked, sign: int) -> None:
        fees, taxes = trade(*booked, sign, self.cash_cents, self.position, self.unsettled)
        self.pools.fees_cents += fees
        self.pools.taxes_cents += taxes

    def _bound(self, wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Leave out the dealer."""
        if self.dealer:
            wrong[-1] = False
        return wrong

    def _refuse_bad_endowment(self) -> None:
        futures = self.terms["future"]
        wrong = np.argwhere((self.position < 0) & ~futures)
        poor = self.cash_cents < 0
        if poor.any():
            row = int(poor.argmax())
            raise MarketError(
                f"ledger.cash_cents[{row}] is {self.cash_cents[row]}, expected 0 or more"
            )
        if self.cash_cents.sum(dtype=np.float64) > MAX_CASH_CENTS:
            raise MarketError(
                f"ledger.cash_cents sums to {self.cash_cents.sum(dtype=np.float64):.3g}, expected "
                f"at most 2**48; count in a larger unit"
            )
        if len(wrong):
            row, asset = wrong[0]
            raise MarketError(
                f"ledger.position[{row}, {asset}] is {self.position[row, asset]}, expected 0 or "
                "more lots of an equity"
            )
        open_interest = self.position[:, futures].sum(axis=0)
        if open_interest.any():
            raise MarketError(
                f"ledger.position sums to {open_interest.tolist()} over agents in futures, "
                "expected 0: every long position has a short one"
            )
        outside = (self.mark_ticks < 1) | (self.mark_ticks >= MAX_TICKS)
        if outside.any():
            row = int(outside.argmax())
            raise MarketError(
                f"ledger.mark_ticks[{row}] is {self.mark_ticks[row]}, expected 1 to {MAX_TICKS - 1}"
            )


def _terms(instruments: Sequence[Instrument], mark_ticks: NDArray[np.int64]) -> NDArray[np.void]:
    terms = np.zeros(len(instruments), TERMS)
    for row, item in zip(terms, instruments, strict=True):
        row["future"] = item.kind == "future"
        row["lot_tick_cents"] = item.lot_tick_cents
        row["fee_bps"], row["tax_bps"] = item.fee_bps, item.sell_tax_bps
        row["sell_next_day"] = item.sell_next_day
        row["short_sales"] = SHORT_SALES.index(item.short_sales)
        row["initial_bps"] = item.initial_margin_bps
        row["maintenance_bps"] = item.maintenance_margin_bps
    terms["mark_ticks"] = mark_ticks
    return terms
