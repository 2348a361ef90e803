"""A crowd of personas in one market: observe, decide, send orders, change camps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import (
    decide,
    encode_seen,
    hear,
    mean_by_persona,
    price_orders,
    reconsider,
)
from evobourse.agents.crowds.offsets import ORDER_FRACTION, OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes, regime_signs
from evobourse.agents.crowds.standing_orders import let_live
from evobourse.agents.errors import AgentError
from evobourse.agents.masks import draw_day, draw_fields
from evobourse.agents.observation import (
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    VIEWS,
    possible_views,
    price_values,
    private_codes,
    public_codes,
    to_levels,
)
from evobourse.agents.personas.persona import Population
from evobourse.agents.personas.social import Contest
from evobourse.agents.personas.traits import TraitTable
from evobourse.agents.society.contest import Rivalry
from evobourse.agents.society.life import SocialLife
from evobourse.agents.society.links import trade_keys
from evobourse.market.accounts import Accounts
from evobourse.market.crowd import Crowd, DayOutcome, MarketView, Message, Orders

START_PRICE_TICKS = 10_000
LONG_RUN_DAYS = 750
PERFORMANCE_MEMORY = 0.95
_NEWS = FIELD_NAMES.index("news")
_CROWD = FIELD_NAMES.index("crowd")


def history_ticks(closes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rescale real closes float64[H] so that the last one is `START_PRICE_TICKS` (no name left)."""
    ticks: NDArray[np.float64] = np.rint(closes / closes[-1] * START_PRICE_TICKS)
    return np.maximum(ticks, 1).astype(np.int64)


class PersonaCrowd(Crowd):
    """Agents of a population in one market.

    Parameters
    ----------
    population
        Who they are.
    choices
        What their minds choose: float64[P, V, 5], see `tabulate_choices`.
    offsets
        Spread of limit prices; with regimes, quantities and times in force as well.
    n_agents
        How many.
    rng
        The crowd's own stream; agents' fixed traits and all daily draws come from it.
    asset
        Row of the asset that they trade; the market's others they ignore.
    turns
        Of a day, for orders that live longer than one.
    first_persona
        Number of the first persona on the tape.
    styles
        Of the mixtures' coefficients, for a contest of fidelity.
    tabulate
        Asks the minds of a population anew, for a contest that replaces personas.

    Raises
    ------
    AgentError
        A contest needs styles or minds that are not given.

    Notes
    -----
    A day is one decision: agents see and order in its first turn, and their orders hold for the
    day. In the other turns they send nothing, so that nothing is drawn. Of messages they hear the
    tone, on top of the day's ordinary news, in the next first turn.

    With social settings (`agents.personas.persona.Society.social`) the crowd field shows an agent
    the mean mood in the posts that it read, nothing if it read none, instead of what all did; and
    rumours are passed on and fade (`agents.society.life`). Their trades make the links: each
    agent's net lots of the day over its ordinary order, by side and by how far the limit price
    was from the reference. All else is drawn as without.

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
        choices: NDArray[np.float64],
        offsets: OffsetClusters | OrderRegimes,
        n_agents: int,
        rng: np.random.Generator,
        asset: int = 0,
        turns: int = 1,
        first_persona: int = 0,
        styles: Sequence[str] = (),
        tabulate: Callable[[Population], NDArray[np.float64]] | None = None,
    ):
        self.n_agents = n_agents
        self.population = population
        self._choices = choices
        self._offsets = offsets
        self._rng = rng
        self._asset = asset
        self._turns, self._first_persona = turns, first_persona
        self._first_turn = True
        self._heard: NDArray[np.float64] | float = 0.0
        society, personas = population.society, population.personas
        share = np.array([persona.share for persona in personas])
        self._share = share / share.sum()
        self._persona = self._assign(rng.permutation(n_agents))
        self._traits = TraitTable.of([persona.traits for persona in personas])
        never = self._traits.never[self._persona]
        self._sees = draw_fields(society, society.attention, never, rng)
        self.wealth = (1.0 - rng.random(n_agents)) ** (-1.0 / society.wealth_tail)
        self.wealth *= self._traits.wealth[self._persona]
        self.wealth = np.minimum(self.wealth / self.wealth.mean(), n_agents / 10)
        self._success = np.zeros(len(personas))
        self._variance = 0.0
        self._long_run = 0.0
        self._reference = 0
        possible = possible_views(society.attention)
        self._row_of = np.full(VIEWS, -1)
        self._row_of[possible] = np.arange(len(possible))
        social = society.social
        self.life = None if social is None else SocialLife(n_agents, social, rng.spawn(1)[0])
        self.rivalry = None
        self._tabulate, self._due = tabulate, np.zeros(n_agents, np.int64)
        if social is not None and social.contest is not None:
            self.rivalry = self._enter(social.contest, styles)

    @property
    def persona(self) -> NDArray[np.int64]:
        """The present persona of each agent, int64[n], a row of the population's."""
        return self._persona.copy()

    def accounts(self) -> Accounts:
        """Endow the agents: wealth times 100 shares, and as much in cash at the start price."""
        shares = np.maximum(np.rint(100 * self.wealth), 1).astype(np.int64)
        return Accounts(shares * START_PRICE_TICKS, shares)

    def observe(self, view: MarketView) -> None:
        """See the market, each agent through its masks, and reconsider one's persona."""
        self._first_turn = view.turn == 0
        self._listen(view.messages, view.day)
        if not self._first_turn:
            return
        asset = view.assets[self._asset]
        closes = asset.close_ticks
        log_path = np.log(closes[-HISTORY_DAYS:])
        self._follow_volatility(closes, log_path)
        self._reference = int(closes[-1])
        self._seen, self._time = asset, view.time
        self._log_path = log_path
        traded = asset.buy_quantity + asset.sell_quantity
        crowd = (asset.buy_quantity - asset.sell_quantity) / max(traded, 1)
        society, rng, n = self.population.society, self._rng, self.n_agents
        moves = rng.random((2, n))
        sees = draw_day(society, self._traits.hide(self._sees, self._persona), rng)
        normal = rng.standard_normal(1 + n)
        codes_of_peers = self._meet(view)
        noise = np.hypot(1.0, society.news_noise)
        told = self._heard * self._traits.receptivity[self._persona]
        misread = society.news_noise * normal[1:] + told
        self._heard = 0.0
        levels = hear(normal[0], misread, noise * self._news_threshold())
        codes = public_codes(to_levels(np.array([*price_values(log_path), crowd, 0.0])))
        if codes_of_peers is not None:
            codes[_CROWD] = 0
        self._views = encode_seen(codes, _NEWS, private_codes(_NEWS, levels), sees)
        if codes_of_peers is not None:
            self._views += np.where((sees == _CROWD).any(axis=1), codes_of_peers, 0)
        reconsider(
            self._persona,
            self._share,
            self._success,
            moves,
            society.switching,
            society.conformity,
            society.performance,
        )

    def orders(self) -> Orders:
        """Draw tendencies from the minds' choices and turn them into limit orders."""
        if not self._first_turn:
            return Orders.empty()
        society, rng, n = self.population.society, self._rng, self.n_agents
        uniform = rng.random((3, n))
        unit, size = self._offset_unit(), 100 * ORDER_FRACTION * self.wealth
        regimes = self._offsets if isinstance(self._offsets, OrderRegimes) else None
        if isinstance(self._offsets, OffsetClusters):
            spread = self._offsets.draw(uniform[1], rng.standard_normal(n))
        else:
            regime = int(self._offsets.regime(regime_signs(self._log_path, self._long_run)))
            drawn = self._offsets.mixtures[regime].draw(uniform[1], rng.standard_normal((2, n)))
            spread, size = drawn[0] * self._long_run / unit, size * np.exp(drawn[1])
        self._tendency = self._choose(uniform[0])
        own = self._traits.orders[:, self._persona]
        pull = society.aggressiveness * own[0] * self._tendency
        lean = pull + society.dispersion * own[1] * spread
        activity = uniform[2] / self._traits.activity[self._persona]
        columns = price_orders(
            lean, self._tendency, own[2] * size, activity, society.activity, unit, self._reference
        )
        self._sent = columns[0], np.abs(lean[columns[0]])
        # The fast daily market knows no assets: for the first, the column is left out.
        asset = np.full(len(columns[0]), self._asset) if self._asset else None
        orders = Orders(*columns, asset=asset)
        if regimes is None or regimes.longest_days == 1:
            return orders
        distance = self._sent[1] * unit / self._long_run
        patience = own[3, columns[0]]
        life = regimes.life(regime, distance, rng.random(n)[columns[0]], patience)
        return let_live(orders, life, self._asset, self._seen, self._time, self._turns)

    def _choose(self, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw each agent's tendency, int64[n] in -2..2, by uniform numbers float64[n]."""
        return decide(self._choices, self._persona, self._row_of[self._views], uniform)

    def settled(self, outcome: DayOutcome) -> None:
        """Learn from the day: which personas' tendencies paid."""
        move = np.log(outcome.close_ticks[self._asset] / outcome.reference_ticks[self._asset])
        scaled = np.clip(move / np.sqrt(self._variance), -5.0, 5.0)
        mean = mean_by_persona(self._persona, self._tendency, len(self._share))
        self._success *= PERFORMANCE_MEMORY
        self._success += (1.0 - PERFORMANCE_MEMORY) * scaled * mean
        if self.life is not None:
            sender, urgency = self._sent
            lots = (self._position - self._held)[sender]
            usual = np.maximum(100 * ORDER_FRACTION * self.wealth[sender], 1.0)
            keys = trade_keys(0, np.sign(lots), urgency)
            self.life.evening(self._tendency, sender, keys, np.abs(lots) / usual)
            if self.rivalry is not None:
                self._compete(self.life, self.rivalry, outcome)

    def decisions(self) -> dict[str, NDArray[np.generic]]:
        """Return the day's agent, persona, view and tendency (-2..2), int64[n] each.

        With social settings the mood of the evening before as well, float64[n]. Empty in a turn
        without orders.
        """
        deciding = slice(self.n_agents if self._first_turn else 0)
        mood = {} if self.life is None else {"mood": self.life.mood[deciding]}
        return {
            "agent": np.arange(self.n_agents)[deciding],
            "persona": self._first_persona + self._persona[deciding],
            "view": self._views[deciding],
            "tendency": self._tendency[deciding],
            **mood,
        }

    def interactions(self) -> dict[str, dict[str, NDArray[np.generic]]]:
        """Return the morning's links, what was read and what was told; in its turn alone."""
        return {} if self.life is None or not self._first_turn else self.life.tables()

    def take_transfers(self) -> NDArray[np.int64]:
        """Return what a contest moves between accounts tonight, int64[n] cents; once."""
        due, self._due = self._due, np.zeros(self.n_agents, np.int64)
        return due

    def _enter(self, contest: Contest, styles: Sequence[str]) -> Rivalry:
        if contest.replaced and self._tabulate is None:
            raise AgentError(
                f"society: contest.replaced is {contest.replaced}, and no model is at hand while "
                "this market runs; set it to 0, or use a scenario"
            )
        if contest.by == "fidelity" and not styles:
            raise AgentError("society: contest.by is fidelity, which a scenario alone can measure")
        return Rivalry(contest, self.population.personas, styles, *self._rng.spawn(1))

    def _compete(self, life: SocialLife, rivalry: Rivalry, outcome: DayOutcome) -> None:
        """Count the day; where it is time, let capital or voice flow and replace the worst."""
        close = int(outcome.close_ticks[self._asset])
        equity = self._cash + self._position * close
        day = self._persona, self._tendency, self._views, equity, self._position, close
        rivalry.end_day(*day)
        if not rivalry.due(outcome.day):
            return
        personas = self.population.personas
        prizes = rivalry.settle(
            outcome.day, self._persona, personas, self._cash, equity, life.voice
        )
        self._due = prizes.cash_cents
        # who has more orders more
        self.wealth = self.wealth * np.where(equity > 0, 1 + self._due / np.maximum(equity, 1), 1.0)
        life.voice += prizes.voice
        if prizes.children and self._tabulate is not None:
            after = tuple(prizes.children.get(p, one) for p, one in enumerate(personas))
            self.population = replace(self.population, personas=after)
            self._choices = self._tabulate(self.population)
            self._success[list(prizes.children)] = 0.0

    def _meet(self, view: MarketView) -> NDArray[np.int64] | None:
        """Read the others' posts and rumours; return what peers' moods add to a view."""
        if self.life is None:
            return None
        self._position = view.position[:, self._asset]  # live: at the close it tells the trades
        self._held, self._cash = self._position.copy(), view.cash_cents
        peers = self.life.morning(view.day)
        self._heard = self._heard + self.life.hearsay(view.day)
        levels = np.searchsorted(FIELDS[_CROWD].edges, peers, side="right")
        return private_codes(_CROWD, np.where(np.isnan(peers), -1, levels))

    def _listen(self, messages: Sequence[Message], day: int) -> None:
        """Add up how good what each agent is told is, until the next morning's decision."""
        for message in messages:
            if self.life is not None and message.kind == "rumour":
                self.life.hear(message, day)
            elif message.tone:
                told = np.zeros(self.n_agents)
                told[slice(None) if message.agents is None else message.agents] = message.tone
                self._heard = self._heard + told

    def _assign(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        edges = np.cumsum(self._share)[:-1]
        return np.searchsorted(edges, (order + 0.5) / self.n_agents, side="right")

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

    def _news_threshold(self) -> float:
        """How unusual news must be to count, less where the market has been nervous."""
        society = self.population.society
        calm = self._long_run / float(np.sqrt(self._variance))
        return float(society.news_threshold * calm**society.vigilance)

    def _offset_unit(self) -> float:
        weight = self.population.society.volatility_weight
        return float((1 - weight) * self._long_run + weight * np.sqrt(self._variance))
