"""From what a crowd's agents want to limit orders, spread as real prices are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import price_orders
from evobourse.agents.crowds.deciding import Decision
from evobourse.agents.crowds.observing import Morning
from evobourse.agents.crowds.offsets import ORDER_FRACTION, OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes, regime_signs
from evobourse.agents.crowds.standing_orders import let_live
from evobourse.agents.personas.persona import Society
from evobourse.agents.personas.traits import TraitTable
from evobourse.market.crowd import Orders


@dataclass(frozen=True, eq=False)
class Sent:
    """What a crowd sent in a turn.

    Attributes
    ----------
    orders
        All of it.
    agent, urgency
        int64[m] and float64[m]: who wants to trade, and how far its limit price is from the
        reference, in the unit of offsets.
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
    rng
        The crowd's own stream.
    asset
        Row of the asset in the market.
    turns
        Of a day, for orders that live longer than one.
    """

    def __init__(
        self,
        society: Society,
        traits: TraitTable,
        offsets: OffsetClusters | OrderRegimes,
        rng: np.random.Generator,
        asset: int,
        turns: int,
    ):
        self._society, self._traits, self._offsets = society, traits, offsets
        self._rng, self._asset, self._turns = rng, asset, turns

    def generate(
        self, morning: Morning, decision: Decision, usual_lots: NDArray[np.float64]
    ) -> Sent:
        """Draw who sends which order, given what an order of each agent usually is, float64[n]."""
        society, rng, n = self._society, self._rng, len(usual_lots)
        offsets, volatility = self._offsets, morning.volatility
        uniform = rng.random((2, n))
        unit, size = volatility.mixed(society.volatility_weight), usual_lots
        if isinstance(offsets, OffsetClusters):
            spread = offsets.draw(uniform[0], rng.standard_normal(n))
        else:
            regime = int(offsets.regime(regime_signs(morning.log_path, volatility.long_run)))
            drawn = offsets.mixtures[regime].draw(uniform[0], rng.standard_normal((2, n)))
            spread, size = drawn[0] * volatility.long_run / unit, size * np.exp(drawn[1])
        own = self._traits.orders[:, decision.persona]
        pull = society.aggressiveness * own[0] * decision.tendency
        lean = pull + society.dispersion * own[1] * spread
        activity = uniform[1] / self._traits.activity[decision.persona]
        agent, side, price_ticks, quantity = price_orders(
            lean,
            decision.tendency,
            own[2] * size,
            activity,
            society.activity,
            unit,
            morning.reference_ticks,
        )
        urgency = np.abs(lean[agent])
        # The fast daily market knows no assets: for the first, the column is left out.
        asset = np.full(len(agent), self._asset) if self._asset else None
        orders = Orders(agent, side, price_ticks, quantity, asset=asset)
        if isinstance(offsets, OrderRegimes) and offsets.longest_days > 1:
            distance = urgency * unit / volatility.long_run
            life = offsets.life(regime, distance, rng.random(n)[agent], own[3, agent])
            orders = let_live(orders, life, self._asset, morning.resting, morning.time, self._turns)
        return Sent(orders, agent, urgency)


def usual_lots(wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lots of an ordinary order of agents of some wealth, float64[n]."""
    return 100 * ORDER_FRACTION * wealth
