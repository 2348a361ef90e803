"""From what a crowd's agents want to limit orders, spread as real prices are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import PARTS, in_parts
from evobourse.agents.crowds.deciding import Decision
from evobourse.agents.crowds.elementary import normal_table
from evobourse.agents.crowds.mechanisms import draw_quoters, quote
from evobourse.agents.crowds.observing import Morning
from evobourse.agents.crowds.offsets import ORDER_FRACTION, OffsetClusters
from evobourse.agents.crowds.order_law import (
    OrderHabits,
    price_orders,
    spread_of,
    spread_units,
    tell_regime,
)
from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.standing_orders import let_live
from evobourse.agents.errors import AgentError
from evobourse.agents.personas.persona import Society
from evobourse.agents.personas.traits import TraitTable
from evobourse.market.crowd import Orders
from evobourse.market.philox import Purpose, draw_words


@dataclass(frozen=True, eq=False)
class Sent:
    """What a crowd sent in a turn.

    Attributes
    ----------
    orders
        All of it.
    agent, urgency
        int64[m] and float64[m]: who wants to trade, each once, and how far its reservation price
        is from the reference, in the unit of offsets.
    """

    orders: Orders
    agent: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    urgency: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


class OrderGenerator:
    """Turns tendencies into limit orders.

    Parameters
    ----------
    society, traits
        What agents have in common, and what sets their personas apart.
    offsets
        Spread of limit prices; with regimes, quantities and times in force as well.
    key
        Of the crowd.
    asset
        Row of the asset in the market.
    turns
        Of a day, for orders that live longer than one.
    n_agents
        How many.

    Attributes
    ----------
    habits, law
        What compiled loops need of the first three.
    both
        bool[n], who quotes on both sides; without elements where nobody does.

    Raises
    ------
    AgentError
        Some quote on both sides, and orders live longer than a day.
    """

    def __init__(
        self,
        society: Society,
        traits: TraitTable,
        offsets: OffsetClusters | OrderRegimes,
        key: np.uint64,
        asset: int,
        turns: int,
        n_agents: int,
    ):
        self._society, self._traits, self._offsets = society, traits, offsets
        self._key, self._asset, self._turns = key, asset, turns
        pull, spread, size, _ = traits.orders
        self.habits = OrderHabits(
            np.array([in_parts(society.activity * each) for each in traits.activity]),
            society.aggressiveness * pull,
            society.dispersion * spread,
            size.copy(),
        )
        self.law = offsets.law
        self.both = draw_quoters(n_agents, society.mechanisms.two_sided, key)
        if len(self.both) and isinstance(offsets, OrderRegimes) and offsets.longest_days > 1:
            raise AgentError(
                "mechanisms.two_sided and orders.longest_days are both set, and an agent has one "
                "order in the book at most; set longest_days: 1, or mechanisms: false in a scenario"
            )

    def generate(
        self,
        morning: Morning,
        decision: Decision,
        usual_lots: NDArray[np.float64],
        words: NDArray[np.uint32],
        turn: int,
    ) -> Sent:
        """Draw who sends which order.

        Parameters
        ----------
        morning, decision
            What agents know and want.
        usual_lots
            float64[n], what an order of each agent usually is.
        words, turn
            Of the turn, uint32[4, n].
        """
        volatility, n = morning.volatility, len(usual_lots)
        unit = volatility.mixed(self._society.volatility_weight)
        more = np.zeros((4, 0), np.uint32)
        if isinstance(self._offsets, OrderRegimes):
            more = draw_words(n, morning.day, turn, Purpose.DAY_MORE, self._key)
        regime = tell_regime(self.law, morning.log_path, volatility.long_run)
        agent, side, price_ticks, quantity, urgency, reservation = price_orders(
            decision.persona,
            decision.tendency,
            usual_lots,
            self.habits,
            spread_of(self.law, regime),
            spread_units(self.law, unit, volatility.long_run),
            morning.reference_ticks,
            normal_table(),
            words,
            more,
        )
        sent = agent, side, price_ticks, quantity
        if len(self.both):
            sent = quote(
                sent,
                urgency,
                reservation,
                self.both,
                float(self._society.mechanisms.half_spread),
                unit,
                morning.reference_ticks,
            )
        # The fast daily market knows no assets: for the first, the column is left out.
        asset = np.full(len(sent[0]), self._asset) if self._asset else None
        orders = Orders(*sent, asset=asset)
        if isinstance(self._offsets, OrderRegimes) and self._offsets.longest_days > 1:
            distance = urgency * unit / volatility.long_run
            uniform = ((more[2] >> np.uint32(16)) + 0.5) / PARTS
            patience = self._traits.orders[3, decision.persona]
            life = self._offsets.life(regime, distance, uniform[agent], patience[agent])
            orders = let_live(orders, life, self._asset, morning.resting, morning.time, self._turns)
        return Sent(orders, agent, urgency)


def usual_lots(wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lots of an ordinary order of agents of some wealth, float64[n]."""
    return 100 * ORDER_FRACTION * wealth
