"""A crowd of personas in one market: observe, ask the minds, send orders, change camps.

Knows how a population becomes agents and how they act each day. Deliberately knows nothing
of how minds compute their answers, nor of how the market clears.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.observation import (
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    VIEWS,
    encode_public,
    possible_views,
    price_values,
    to_levels,
)
from agents.order_generator import ORDER_FRACTION, OffsetClusters
from agents.persona import Population
from agents.stand_ins import Minds
from market.accounts import Accounts
from market.exchange import DayOutcome, MarketView, Orders

START_PRICE_TICKS = 10_000
LONG_RUN_DAYS = 750
PERFORMANCE_MEMORY = 0.95
_NEWS = FIELD_NAMES.index("news")


def history_ticks(closes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rescale real closes float64[H] so that the last one is `START_PRICE_TICKS` (no name left)."""
    return np.maximum(np.rint(closes / closes[-1] * START_PRICE_TICKS), 1).astype(np.int64)


class PersonaCrowd:
    """Agents of a population in one market.

    Parameters
    ----------
    population
        Who they are.
    minds
        What answers for them, shared by all markets that run in lock step.
    offsets
        Spread of limit prices.
    n_agents
        How many.
    rng
        The crowd's own stream; agents' fixed traits and all daily draws come from it.

    Notes
    -----
    Volatility that scales offsets: ``(1 - w) * long run + w * recent``, the long run over the
    `LONG_RUN_DAYS` before the simulation, the recent exponentially weighted over history and
    simulation. Agents who reconsider choose a persona with odds
    ``share * exp(conformity * P * (present - initial share) + performance * success)``, P
    personas, success being the discounted mean of tendency times standardised return (after
    Brock and Hommes 1998, J. Econ. Dyn. Control 22, and Franke and Westerhoff 2012).
    """

    def __init__(
        self,
        population: Population,
        minds: Minds,
        offsets: OffsetClusters,
        n_agents: int,
        rng: np.random.Generator,
    ):
        self.n_agents = n_agents
        self.population = population
        self._minds = minds
        self._offsets = offsets
        self._rng = rng
        society, personas = population.society, population.personas
        self._mixtures = [persona.mind for persona in personas]
        self._temperature = np.array([persona.temperature for persona in personas])
        share = np.array([persona.share for persona in personas])
        self._share = share / share.sum()
        self._persona = self._assign(rng.permutation(n_agents))
        self._can_see = self._draw_masks(rng.random((n_agents, len(FIELD_NAMES), 2)))
        self.wealth = (1.0 - rng.random(n_agents)) ** (-1.0 / society.wealth_tail)
        self.wealth = np.minimum(self.wealth / self.wealth.mean(), n_agents / 10)
        self._success = np.zeros(len(personas))
        self._variance = 0.0
        self._long_run = 0.0
        self._reference = 0
        self._possible = possible_views(society.attention)
        self._row_of = np.full(VIEWS, -1)
        self._row_of[self._possible] = np.arange(len(self._possible))
        self._choices: NDArray[np.float64] | None = None

    def accounts(self) -> Accounts:
        """Endow the agents: wealth times 100 shares, and as much in cash at the start price."""
        shares = np.maximum(np.rint(100 * self.wealth), 1).astype(np.int64)
        return Accounts(shares * START_PRICE_TICKS, shares)

    def observe(self, view: MarketView) -> None:
        """See the market, each agent through its masks; on the first day, queue the questions.

        Every view that an agent of a persona can meet is asked at once: a few hundred questions
        a mind, whatever the number of agents and days.
        """
        closes = view.close_ticks
        log_path = np.log(closes[-HISTORY_DAYS:])
        self._follow_volatility(closes, log_path)
        self._reference = int(closes[-1])
        traded = view.buy_quantity + view.sell_quantity
        crowd = (view.buy_quantity - view.sell_quantity) / max(traded, 1)
        society, rng, n = self.population.society, self._rng, self.n_agents
        news, misread = rng.standard_normal(), society.news_noise
        heard = (news + misread * rng.standard_normal(n)) / np.hypot(1.0, misread)
        public = to_levels(np.array([*price_values(log_path), crowd, 0.0]))
        missed = rng.random((n, len(FIELD_NAMES))) < society.momentary_mask
        visible = self._can_see & ~missed
        levels = np.searchsorted(FIELDS[_NEWS].edges, heard, side="right")
        self._views = encode_public(public, visible, _NEWS, levels)
        self._reconsider(rng.random((2, n)))
        if self._choices is None:
            for mind in self._mixtures:
                self._minds.ask(mind, self._possible)

    def orders(self) -> Orders:
        """Draw tendencies from the minds' answers and turn them into limit orders."""
        if self._choices is None:
            self._choices = self._read_choices()
        society, rng, n = self.population.society, self._rng, self.n_agents
        uniform = rng.random((3, n))
        cumulative = self._choices[self._persona, self._row_of[self._views]]
        tendency = draw_tendency(cumulative, uniform[0])
        spread = self._offsets.draw(uniform[1], rng.standard_normal(n))
        self._tendency = tendency
        lean = society.aggressiveness * tendency + society.dispersion * spread
        sends = np.flatnonzero((lean != 0) & (uniform[2] < society.activity))
        side, offset = np.sign(lean[sends]), self._offset_unit() * lean[sends]
        price = np.maximum(np.rint(self._reference * np.exp(offset)), 1)
        size = 100 * ORDER_FRACTION * self.wealth[sends] * (1 + np.abs(tendency[sends]))
        return Orders(
            sends,
            side.astype(np.int8),
            price.astype(np.int64),
            np.maximum(np.rint(size), 1).astype(np.int64),
        )

    def settled(self, outcome: DayOutcome) -> None:
        """Learn from the day: which personas' tendencies paid."""
        move = np.log(outcome.close_ticks / outcome.reference_ticks)
        scaled = np.clip(move / np.sqrt(self._variance), -5.0, 5.0)
        count = np.maximum(np.bincount(self._persona, minlength=len(self._share)), 1)
        total = np.bincount(self._persona, self._tendency, minlength=len(self._share))
        self._success *= PERFORMANCE_MEMORY
        self._success += (1.0 - PERFORMANCE_MEMORY) * scaled * total / count

    def decisions(self) -> dict[str, NDArray[np.int64]]:
        """Return the day's agent, persona, view and tendency (-2..2), int64[n] each."""
        return {
            "agent": np.arange(self.n_agents),
            "persona": self._persona.copy(),
            "view": self._views,
            "tendency": self._tendency,
        }

    def _read_choices(self) -> NDArray[np.float64]:
        """Cumulate each persona's softmax over the options: float64[P, possible views, 5].

        A mind that sees nothing should lean neither way: the antisymmetric part of its logits
        for the empty view (a content-free prompt) is subtracted from all its answers. What it
        then prefers, to hold or to act, stays its own.
        """
        answers = np.array(
            [self._minds.answer(mind, self._possible) for mind in self._mixtures], np.float64
        )
        blind = answers[:, :1]  # possible_views lists the empty view first
        unbiased = answers - (blind - blind[:, :, ::-1]) / 2
        scaled = unbiased / self._temperature[:, None, None]
        weights = np.exp(scaled - scaled.max(axis=2, keepdims=True))
        cumulative = np.cumsum(weights, axis=2)
        return np.asarray(cumulative / cumulative[:, :, -1:])

    def _assign(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        edges = np.cumsum(self._share)[:-1]
        return np.searchsorted(edges, (order + 0.5) / self.n_agents, side="right")

    def _draw_masks(self, uniform: NDArray[np.float64]) -> NDArray[np.bool_]:
        society = self.population.society
        masked = np.array([society.mask[name] for name in FIELD_NAMES])
        priority = np.where(uniform[..., 0] < masked, -1.0, uniform[..., 1])
        rank = (-priority).argsort(axis=1).argsort(axis=1)
        return np.asarray((priority >= 0) & (rank < society.attention))

    def _follow_volatility(self, closes: NDArray[np.int64], log_path: NDArray[np.float64]) -> None:
        keep = 0.5 ** (1.0 / self.population.society.volatility_memory_days)
        if self._variance == 0.0:
            squares = np.diff(np.log(closes[-LONG_RUN_DAYS - 1 :])) ** 2
            self._long_run = float(np.sqrt(squares.mean()))
            weights = keep ** np.arange(len(squares))[::-1]
            self._variance = float(squares @ weights / weights.sum())
        else:
            self._variance = keep * self._variance + (1 - keep) * (log_path[-1] - log_path[-2]) ** 2
        self._variance = max(self._variance, 1e-10)

    def _offset_unit(self) -> float:
        weight = self.population.society.volatility_weight
        return float((1 - weight) * self._long_run + weight * np.sqrt(self._variance))

    def _reconsider(self, uniform: NDArray[np.float64]) -> None:
        society = self.population.society
        moving = np.flatnonzero(uniform[0] < society.switching)
        if not moving.size:
            return
        present = np.bincount(self._persona, minlength=len(self._share)) / self.n_agents
        pull = society.conformity * len(self._share) * (present - self._share)
        odds = self._share * np.exp(np.clip(pull + society.performance * self._success, -20, 20))
        edges = np.cumsum(odds / odds.sum())[:-1]
        self._persona[moving] = np.searchsorted(edges, uniform[1, moving], side="right")


def draw_tendency(
    cumulative: NDArray[np.float64], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Draw by inversion from cumulative probabilities float64[n, 5]: int64[n] in -2..2."""
    return np.asarray((uniform[:, None] >= cumulative[:, :-1]).sum(axis=1) - 2)
