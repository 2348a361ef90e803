"""Traders from outside in a bundle's market: what they see, what they order, what they own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.exchange import build_scenario, pay_contests
from evobourse.market.crowd import Crowd, MarketView, Orders, TurnOutcome
from evobourse.market.crowds.withdrawal import withdraw
from evobourse.market.listing import Listing

RETURNS = 20
"""Daily log returns that an observation begins with."""

SEEN = (
    *(f"log_return_{ago}" for ago in range(RETURNS, 0, -1)),
    "volume",
    "imbalance",
    "move_today",
    "bid_gap",
    "ask_gap",
    "held",
    "days_left",
    "turn",
)
"""Names of an observation's numbers, in order; `TraderMarket.observe` says what they are."""


@dataclass(frozen=True)
class TraderRules:
    """How traders trade.

    Attributes
    ----------
    count
        Traders in the market.
    lots
        Shares that each begins with, and has as much in cash.
    reach
        Farthest that a limit price can be from the last price, as a fraction of it.
    """

    count: int = 1
    lots: int = 100
    reach: float = 0.05

    def __post_init__(self) -> None:
        if self.count < 1 or self.lots < 1 or not 0 < self.reach < 1:
            raise ConfigError(
                f"traders: count {self.count}, lots {self.lots}, reach {self.reach}; expected at "
                "least 1, at least 1, and over 0, below 1"
            )


class Step(NamedTuple):
    """What a turn came to for every trader; arrays of shape [count].

    ``filled_lots`` are below 0 for shares sold; ``reason`` is why an order was turned away or what
    was left of it is gone, a `market.book.order_events.Reason`.
    """

    reward: NDArray[np.float64]
    equity_cents: NDArray[np.int64]
    filled_lots: NDArray[np.int64]
    reason: NDArray[np.int8]
    over: bool


class TraderMarket:
    """One market after another of a population, with traders from outside.

    A turn is asked for with one action a trader; whatever of its order is not filled is taken
    back at the end of the turn. Who orders nothing changes no draw of anybody.

    Parameters
    ----------
    opened
        The population.
    size
        Agents beside the traders, and days; its seed is not read.
    scenario
        Where; one call auction a day by default.
    rules
        How traders trade.

    Raises
    ------
    ConfigError
        The scenario has agents who think in words, a cast, or a future.
    """

    def __init__(
        self,
        opened: OpenPopulation,
        size: Size,
        scenario: Scenario | None = None,
        rules: TraderRules | None = None,
    ) -> None:
        self.scenario, self.rules = scenario or Scenario(), rules or TraderRules()
        for key in ("deliberation", "cast"):
            if getattr(self.scenario, key) is not None:
                raise ConfigError(f"{key}: an environment has no models at hand; leave it out")
        if self.scenario.stock.kind == "future":
            raise ConfigError("stock.kind: traders of an environment own shares; use equity")
        self.size = size
        self._opened, self._choices = opened, opened.choices()

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Begin a market whose every draw is the seed's; return `observe`."""
        self._crowd = _Traders(self.rules)
        self._exchange = build_scenario(
            self.scenario,
            self._opened.bundle,
            self._choices,
            Size(self.size.agents, self.size.days, seed),
            further=[(self._crowd, self.rules.lots)],
            minds=self._opened.minds,
        )
        [self._listing] = self._exchange.listings
        self._crowd.listing = self._listing
        self._own = slice(self._exchange.n_agents - self.rules.count, self._exchange.n_agents)
        self._equity = self._equity_cents()
        return self.observe()

    def step(self, actions: NDArray[np.float64]) -> Step:
        """Play the next turn.

        Parameters
        ----------
        actions
            float[count, 2] in -1..1 each: how much, as a part of what the trader can buy (over 0)
            or holds (below 0); and how far towards the other side its limit price is from the
            last price, as a part of `TraderRules.reach`.

        Returns
        -------
        Step
            ``reward`` is the change of log equity, at the last price.
        """
        self._crowd.wanted = np.clip(np.asarray(actions, np.float64), -1.0, 1.0)
        if self._exchange.play_turn() is not None:
            pay_contests(self._exchange, self.day - 1)
        before, self._equity = self._equity, self._equity_cents()
        reward = np.log(np.maximum(self._equity, 1)) - np.log(np.maximum(before, 1))
        crowd = self._crowd
        over = self.day >= self.size.days
        return Step(reward, self._equity, crowd.filled, crowd.reason, over)

    def observe(self) -> NDArray[np.float32]:
        """Return what traders see before the next turn.

        Returns
        -------
        NDArray
            float32[count, 28] in -1..1, `SEEN`. The latest daily log returns, oldest first. Of the
            last day ``volume``: ``(v - m) / (v + m)``, m its mean over as many days; and
            ``imbalance``: lots bid for less lots offered, over their sum. Log of the last price
            over the last close, and of the best bid and offer over the last price, 0 where there
            is none. The trader's shares as a part of its equity. The part of days that is left,
            and of the day's turns that is over.
        """
        listing, ledger = self._listing, self._exchange.ledger
        view = listing.view(None, 0, 0)
        closes = np.log(view.close_ticks[-RETURNS - 1 :])
        seen = np.zeros((self.rules.count, len(SEEN)))
        seen[:, RETURNS - len(closes) + 1 : RETURNS] = np.diff(closes)
        traded = view.volume[-min(RETURNS, max(self.day, 1)) :]
        total = traded[-1] + traded.mean()
        asked = view.buy_quantity + view.sell_quantity
        last = view.last_ticks
        depth = listing.book.depth(1)
        bid, ask = (int(side[0]) if len(side) else 0 for side in (depth.bid_ticks, depth.ask_ticks))
        position = ledger.position[self._own, 0]
        worth = position * last * listing.instrument.lot_tick_cents
        turns = len(self.scenario.turns)
        seen[:, RETURNS] = (traded[-1] - traded.mean()) / total if total else 0.0
        seen[:, RETURNS + 1] = (view.buy_quantity - view.sell_quantity) / max(asked, 1)
        seen[:, RETURNS + 2] = np.log(last) - closes[-1]
        seen[:, RETURNS + 3] = np.log(bid / last) if bid else 0.0
        seen[:, RETURNS + 4] = np.log(ask / last) if ask else 0.0
        seen[:, RETURNS + 5] = worth / np.maximum(self._equity, 1)
        seen[:, RETURNS + 6] = 1.0 - self.day / self.size.days
        seen[:, RETURNS + 7] = self._exchange.turn / turns
        return np.clip(seen, -1.0, 1.0).astype(np.float32)

    @property
    def day(self) -> int:
        """Days that are over."""
        return self._exchange.day

    @property
    def turn(self) -> int:
        """The turn that is next."""
        return self._exchange.turn

    @property
    def price_ticks(self) -> int:
        """The last price."""
        return self._listing.book.last_ticks

    def _equity_cents(self) -> NDArray[np.int64]:
        ledger, worth = self._exchange.ledger, self._listing.instrument.lot_tick_cents
        lots = ledger.position[self._own, 0]
        return np.asarray(ledger.cash_cents[self._own] + lots * self.price_ticks * worth)


class _Traders(Crowd):
    """Sends what is `wanted`, an action of `TraderMarket.step` a trader, in the next turn."""

    listing: Listing

    def __init__(self, rules: TraderRules) -> None:
        self.n_agents, self._reach = rules.count, rules.reach
        self.wanted = np.zeros((rules.count, 2))
        self._forget()

    def observe(self, view: MarketView) -> None:
        self._view = view

    def orders(self) -> Orders:
        part, towards = self.wanted.T
        [asset] = self._view.assets
        side = np.where(part > 0, 1, -1)
        price = np.rint(asset.last_ticks * (1 + side * self._reach * towards)).astype(np.int64)
        price = np.clip(price, asset.lower_limit_ticks, asset.upper_limit_ticks)
        terms = self.listing.instrument
        lot_cents = price * terms.lot_tick_cents * (1 + terms.fee_bps / 10_000)
        affordable = self._view.cash_cents / lot_cents
        most = np.where(side > 0, affordable, self._view.position[:, 0])
        lots = np.floor(np.abs(part) * np.maximum(most, 0)).astype(np.int64)
        agent = np.flatnonzero(lots)
        return Orders(agent, side[agent], price[agent], lots[agent])

    def matched(self, outcome: TurnOutcome) -> Orders:
        sent = outcome.orders
        self._forget()
        self.filled[sent.agent] = sent.side * outcome.filled
        self.reason[sent.agent] = outcome.reason
        return withdraw(outcome)

    def _forget(self) -> None:
        self.filled, self.reason = (
            np.zeros(self.n_agents, np.int64),
            np.zeros(self.n_agents, np.int8),
        )
