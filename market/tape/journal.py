"""Keeping an exchange's days as the tables of a recorded tape."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import Depth
from evobourse.market.book.order_events import EVENT_DTYPES
from evobourse.market.crowd import DayOutcome, Message
from evobourse.market.hooks import Market
from evobourse.market.listing import Bar
from evobourse.market.tape.sink import TapeSink

FATE = ("number", "filled", "status", "reason")


def describe_instruments(exchange: Market) -> list[dict[str, Any]]:
    """Return what a tape says of each asset: the first terms, the first close, the session."""
    rules = {**asdict(exchange.rules), "self_trade": int(exchange.rules.self_trade)}
    session = {**rules, "agents": exchange.n_agents}
    return [
        {
            **asdict(listing.instrument),
            "initial_close_ticks": int(listing.reference_ticks),
            "session": session,
        }
        for listing in exchange.listings
    ]


class TapeJournal:
    """Writes what happens at an exchange to a sink.

    Parameters
    ----------
    sink : TapeSink
        A :class:`~market.recording.Recorder` or a `MemoryRecorder`.
    accounts_every : int
        Days between two records of all accounts and holdings; 0 for none.
    depth_every : int
        Days between two records of the books before each turn; 0 for none.
    decisions : bool
        Whether to ask the crowds for their decisions, interactions and texts. Crowds that answer
        use the same columns.
    """

    def __init__(
        self,
        sink: TapeSink,
        accounts_every: int = 1,
        depth_every: int = 0,
        decisions: bool = True,
    ) -> None:
        self._sink = sink
        self._accounts_every = accounts_every
        self._depth_every = depth_every
        self._decisions = decisions

    def turn_over(
        self, exchange: Market, messages: Sequence[Message], depth: Sequence[Depth | None]
    ) -> None:
        """Record messages, decisions and the books before the turn."""
        when = {"day": exchange.day, "turn": exchange.turn}
        for message in messages:
            heard_by = np.array([-1]) if message.agents is None else message.agents
            texts = {"kind": message.kind, "text": message.text, "source": message.source}
            self._sink.record("messages", {**when, "agent": heard_by, **texts})
        if self._decisions:
            for crowd, first, _ in exchange.floor.seats():
                columns: dict[str, NDArray[Any]] = dict(crowd.decisions())
                if columns:
                    if "agent" in columns:
                        columns["agent"] = np.asarray(columns["agent"]) + first
                    self._sink.record("decisions", {**when, **columns})
                for table, rows_of in crowd.interactions().items():
                    ends = {name: rows_of[name] + first for name in ("agent", "other")}
                    self._sink.record(table, {"day": exchange.day, **rows_of, **ends})
            self._keep_texts(exchange)
        if self._depth_every and exchange.day % self._depth_every == 0:
            for asset, levels in enumerate(depth):
                if levels is not None:
                    for side, ticks, lots in (
                        (1, levels.bid_ticks, levels.bid_quantity),
                        (-1, levels.ask_ticks, levels.ask_quantity),
                    ):
                        which = {**when, "asset": asset, "side": side}
                        rows = {"level": np.arange(len(ticks)), "price_ticks": ticks}
                        self._sink.record("depth", {**which, **rows, "quantity": lots})

    def day_over(
        self,
        exchange: Market,
        outcome: DayOutcome,
        bars: Sequence[Bar],
        limits_ticks: NDArray[np.int64],
    ) -> None:
        """Record the day's orders, trades, prices, accounts and pools, and end it."""
        if self._decisions:
            self._keep_texts(exchange)
        ledger, day = exchange.ledger, {"day": exchange.day}
        for asset, listing in enumerate(exchange.listings):
            for batch in listing.batches:
                which = {**day, "turn": batch.turn, "asset": asset}
                columns = {name: getattr(batch.events, name) for name in EVENT_DTYPES}
                fate = {name: getattr(batch, name) for name in FATE}
                self._sink.record("orders", {**which, **columns, **fate})
                trades = {**vars(batch.fills), "cancelled": listing.annulled}
                self._sink.record("fills", {**which, **trades})
        self._sink.record(
            "prices",
            {
                **day,
                "asset": np.arange(len(bars)),
                **{
                    f"{name}_ticks": np.array([getattr(bar, f"{name}_ticks") for bar in bars])
                    for name in ("open", "high", "low", "close")
                },
                "settle_ticks": outcome.settle_ticks,
                "reference_ticks": outcome.reference_ticks,
                "lower_limit_ticks": limits_ticks[:, 0],
                "upper_limit_ticks": limits_ticks[:, 1],
                "volume": outcome.volume,
                "trades": np.array([bar.trades for bar in bars]),
                "open_interest": np.maximum(ledger.position, 0).sum(axis=0),
                "halted": np.array([listing.halted for listing in exchange.listings]),
            },
        )
        for event in exchange.happened:
            asset = exchange.asset(event.asset) if event.asset else -1
            texts = {"kind": event.kind, "detail": event.detail}
            self._sink.record("events", {**day, "asset": asset, **texts})
        self._sink.record("pools", {**day, **asdict(ledger.pools)})
        if self._accounts_every and exchange.day % self._accounts_every == 0:
            self._sink.record(
                "accounts",
                {
                    **day,
                    "agent": np.arange(len(ledger)),
                    "cash_cents": ledger.cash_cents,
                    "equity_cents": ledger.equity_cents(),
                    "requirement_cents": ledger.required_cents(),
                },
            )
            agent, asset_of = np.nonzero(ledger.position)
            held = {"agent": agent, "asset": asset_of, "position": ledger.position[agent, asset_of]}
            self._sink.record("holdings", {**day, **held})
        self._sink.end_day(exchange.day)

    def _keep_texts(self, exchange: Market) -> None:
        """Record what was read and written since the last time."""
        when = {"day": exchange.day, "turn": exchange.turn}
        for crowd, first, _ in exchange.floor.seats():
            if columns := dict(crowd.texts()):
                columns["agent"] = np.asarray(columns["agent"]) + first
                self._sink.record("texts", {**when, **columns})
