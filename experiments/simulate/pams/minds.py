"""A bundle's population asked step by step, by a market that is not ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.exchange import social_contest
from evobourse.market.crowd import AssetView, DayOutcome, MarketView, Orders


class SteppedPopulation:
    """Agents of a population whose market is elsewhere; a step is a day.

    Parameters
    ----------
    opened
        The population.
    n_agents, seed
        How many, and of every draw.

    Attributes
    ----------
    cash_cents, position
        int64[n], what the agents own: at first their endowment; who keeps the accounts writes it
        here before each `ask` and `settle`.
    last_ticks
        The last close.

    Raises
    ------
    ConfigError
        Its minds are asked in numbers, or its personas compete for cash.
    """

    def __init__(self, opened: OpenPopulation, n_agents: int, seed: int) -> None:
        bundle, choices = opened.bundle, opened.choices()
        if not isinstance(choices, np.ndarray):
            raise ConfigError(f"minds.encoding {opened.encoding.name!r}: words alone are exported")
        if social_contest(bundle.population) is not None:
            raise ConfigError("society.contest: moves cash that another market keeps; leave it out")
        offsets = bundle.offsets
        if isinstance(offsets, OrderRegimes):
            offsets = replace(offsets, longest_days=1)
        of_crowd = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        self._crowd = PersonaCrowd(bundle.population, choices, offsets, n_agents, of_crowd)
        self._rules = bundle.rules
        endowed = self._crowd.accounts()
        self.cash_cents, self.position = endowed.cash_cents, endowed.shares
        self._closes = bundle.history.copy()
        self._volumes = np.zeros_like(self._closes)
        self._asked = (0, 0)
        self._day = 0

    @property
    def last_ticks(self) -> int:
        """The last close."""
        return int(self._closes[-1])

    def ask(self, free_cents: NDArray[np.int64], free_lots: NDArray[np.int64]) -> Orders:
        """Let the agents see the market and order, for this step.

        Parameters
        ----------
        free_cents, free_lots
            int64[n], what no resting order holds: an order that exceeds it, or is outside the
            bundle's price limit, is left out, as an exchange of ours turns it away.

        Returns
        -------
        market.crowd.Orders
            Limit orders, one an agent and side at most.
        """
        reference = self.last_ticks
        low, high = self._rules.price_band(reference)
        asset = AssetView(
            self._closes, self._volumes, *self._asked, reference, low, high, last_ticks=reference
        )
        self._crowd.observe(
            MarketView(
                self._day,
                0,
                "continuous",
                (asset,),
                self.cash_cents,
                self.position[:, None],
                (),
                self._day,
            )
        )
        orders = self._crowd.orders()
        cost = orders.price_ticks * orders.quantity * self._rules.tick_cents
        able = np.where(
            orders.side > 0,
            cost <= free_cents[orders.agent],
            orders.quantity <= free_lots[orders.agent],
        )
        able &= (orders.price_ticks >= low) & (orders.price_ticks <= high) & (orders.quantity > 0)
        kept = Orders(
            orders.agent[able], orders.side[able], orders.price_ticks[able], orders.quantity[able]
        )
        buys = kept.side > 0
        self._asked = int(kept.quantity[buys].sum()), int(kept.quantity[~buys].sum())
        return kept

    def settle(self, close_ticks: int, volume: int) -> None:
        """Tell the agents what the step came to."""
        reference, close = np.array([self.last_ticks]), np.array([close_ticks])
        lots = np.array([volume])
        self._crowd.settled(DayOutcome(self._day, reference, close, close, lots))
        self._closes = np.append(self._closes, close_ticks)
        self._volumes = np.append(self._volumes, volume)
        self._day += 1
