"""A crowd of personas in one market: observe, decide, send orders, change persona."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import draw_wealth, standardise
from evobourse.agents.crowds.deciding import Decider, Decision
from evobourse.agents.crowds.elementary import logarithm
from evobourse.agents.crowds.mechanisms import follow_equity
from evobourse.agents.crowds.observing import Morning, Observer
from evobourse.agents.crowds.offsets import ORDER_FRACTION, OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.ordering import OrderGenerator, Sent, usual_lots
from evobourse.agents.errors import AgentError
from evobourse.agents.personas.persona import Population
from evobourse.agents.personas.social import Contest
from evobourse.agents.personas.traits import TraitTable
from evobourse.agents.society.contest import Rivalry
from evobourse.agents.society.life import SocialLife
from evobourse.agents.society.links import trade_keys
from evobourse.market.accounts import Accounts
from evobourse.market.crowd import Crowd, DayOutcome, MarketView, Orders
from evobourse.market.philox import Purpose, draw_key, draw_words

START_PRICE_TICKS = 10_000
LOTS_PER_WORTH = ORDER_FRACTION / 2
"""Lots of an ordinary order for each share that equity is worth, half of which is cash."""


def history_ticks(closes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rescale real closes float64[H] so that the last one is `START_PRICE_TICKS` (no name left)."""
    ticks: NDArray[np.float64] = np.rint(closes / closes[-1] * START_PRICE_TICKS)
    return np.maximum(ticks, 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Holdings:
    """What agents of a society own, int64[n] each.

    Attributes
    ----------
    cash_cents, position
        Live: at the close they tell the day's trades.
    held
        Lots in the morning.
    """

    cash_cents: NDArray[np.int64]
    position: NDArray[np.int64]
    held: NDArray[np.int64]


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
        The crowd's own stream, which gives the key of agents' fixed traits and of all daily draws.
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
    day. In the other turns they send nothing. Of messages they hear the tone, on top of the day's
    ordinary news, in the next first turn. Every draw depends on agent, day and purpose alone
    (`market.philox`), so that one agent more, or another society, changes no other's.

    With social settings (`agents.personas.persona.Society.social`) the crowd field shows an agent
    the mean mood in the posts that it read, nothing if it read none, instead of what all did; and
    rumours are passed on and fade (`agents.society.life`). Their trades make the links: each
    agent's net lots of the day over its ordinary order, by side and by how far the limit price
    was from the reference. All else is drawn as without.

    Volatility that scales offsets: ``(1 - w) * long run + w * recent``
    (`agents.crowds.volatility`). Agents who reconsider choose a persona with odds
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
        self._rng, self._asset, self.first_persona = rng, asset, first_persona
        self.key = draw_key(rng)
        society, personas = population.society, population.personas
        traits = TraitTable.of([persona.traits for persona in personas])
        self.decider = Decider(population, choices, n_agents, self.key)
        self.observer = Observer(society, traits, self.decider.persona, self.key)
        words = draw_words(n_agents, 0, 0, Purpose.WEALTH, self.key)
        factor = traits.wealth[self.decider.persona]
        self.wealth = draw_wealth(words, society.wealth_tail, factor)
        self.generator = OrderGenerator(society, traits, offsets, self.key, asset, turns, n_agents)
        # The day so far.
        nothing = np.zeros(n_agents, np.int64)
        self._acts, self._turn = False, 0  # whether agents decide in this turn
        self._morning = Morning(nothing)
        self._decision = Decision(self.decider.persona, nothing, nothing)
        self._sent = Sent(Orders.empty())
        self._holdings = Holdings(nothing, nothing, nothing)
        self._due = nothing
        self._lots = np.zeros(0)  # that each usually trades, where that follows its equity
        # Society, with streams of its own.
        social = society.social
        self.life = None if social is None else SocialLife(n_agents, social, rng.spawn(1)[0])
        self.rivalry = None
        self._tabulate = tabulate
        if social is not None and social.contest is not None:
            self.rivalry = self._enter(social.contest, styles)

    @property
    def persona(self) -> NDArray[np.int64]:
        """The present persona of each agent, int64[n], a row of the population's."""
        return self.decider.persona.copy()

    def accounts(self) -> Accounts:
        """Endow the agents: wealth times 100 shares, and as much in cash at the start price."""
        shares = np.maximum(np.rint(100 * self.wealth), 1).astype(np.int64)
        return Accounts(shares * START_PRICE_TICKS, shares)

    def observe(self, view: MarketView) -> None:
        """See the market, each agent through its masks, and reconsider one's persona."""
        self._acts, self._turn = view.turn == 0, view.turn
        for message in view.messages:
            if self.life is not None and message.kind == "rumour":
                self.life.hear(message, view.day)
            else:
                self.observer.tell(message)
        if not self._acts:
            return
        moods = None if self.life is None else self._meet(self.life, view)
        asset, persona = view.assets[self._asset], self.decider.persona
        self._morning = self.observer.observe(asset, view.day, view.time, persona, moods)
        self.decider.reconsider(view.day, self._morning.deviation)
        if self.population.society.mechanisms.equity_sized:
            self._lots = self._follow_equity(view)

    def orders(self) -> Orders:
        """Draw tendencies from the minds' choices and turn them into limit orders."""
        if not self._acts:
            return Orders.empty()
        morning, turn = self._morning, self._turn
        words = draw_words(self.n_agents, morning.day, turn, Purpose.DAY, self.key)
        tendency = self._choose(words)
        self._decision = Decision(self.decider.persona, morning.views, tendency)
        usual = self._lots if self._lots.size else usual_lots(self.wealth)
        self._sent = self.generator.generate(morning, self._decision, usual, words, turn)
        return self._sent.orders

    def _follow_equity(self, view: MarketView) -> NDArray[np.float64]:
        """Return the lots that agents usually trade, a part of which follows what they own."""
        return follow_equity(
            usual_lots(self.wealth),
            float(self.population.society.mechanisms.equity_sized),
            LOTS_PER_WORTH,
            np.array(view.cash_cents),
            np.array(view.position[:, self._asset]),
            view.assets[self._asset].reference_ticks,
        )

    def _choose(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Draw each agent's tendency, int64[n] in -2..2, by the words of the turn, uint32[4, n]."""
        return self.decider.choose(self._morning.views, words)

    def settled(self, outcome: DayOutcome) -> None:
        """Learn from the day: which personas' tendencies paid."""
        tendency = self._decision.tendency
        close, reference = outcome.close_ticks[self._asset], outcome.reference_ticks[self._asset]
        move = logarithm(float(close)) - logarithm(float(reference))
        self.decider.learn(tendency, standardise(move, self._morning.volatility.recent))
        if self.life is not None:
            sender = self._sent.agent
            lots = (self._holdings.position - self._holdings.held)[sender]
            usual = np.maximum(usual_lots(self.wealth[sender]), 1.0)
            keys = trade_keys(0, np.sign(lots), self._sent.urgency)
            self.life.evening(tendency, sender, keys, np.abs(lots) / usual)
            if self.rivalry is not None:
                self._compete(self.life, self.rivalry, outcome)

    def decisions(self) -> dict[str, NDArray[np.generic]]:
        """Return the day's agent, persona, view and tendency (-2..2), int64[n] each.

        With social settings the mood of the evening before as well, float64[n]. Empty in a turn
        without orders.
        """
        deciding = slice(self.n_agents if self._acts else 0)
        mood = {} if self.life is None else {"mood": self.life.mood[deciding]}
        return {
            "agent": np.arange(self.n_agents)[deciding],
            "persona": self.first_persona + self._decision.persona[deciding],
            "view": self._decision.view[deciding],
            "tendency": self._decision.tendency[deciding],
            **mood,
        }

    def interactions(self) -> dict[str, dict[str, NDArray[np.generic]]]:
        """Return the morning's links, what was read and what was told; in its turn alone."""
        return {} if self.life is None or not self._acts else self.life.tables()

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
        cash, position = self._holdings.cash_cents, self._holdings.position
        equity = cash + position * close
        decision, persona = self._decision, self.decider.persona
        rivalry.end_day(persona, decision.tendency, decision.view, equity, position, close)
        if rivalry.due(outcome.day):
            self.settle_contest(outcome.day, cash, equity)

    def settle_contest(
        self, day: int, cash_cents: NDArray[np.int64], equity_cents: NDArray[np.int64]
    ) -> None:
        """Rank the personas: let capital or voice flow and replace the worst.

        Parameters
        ----------
        day
            At whose close.
        cash_cents, equity_cents
            int64[n], of each agent.
        """
        life, rivalry = self.life, self.rivalry
        if life is None or rivalry is None:
            return
        personas, persona = self.population.personas, self.decider.persona
        prizes = rivalry.settle(day, persona, personas, cash_cents, equity_cents, life.voice)
        self._due = prizes.cash_cents
        # who has more orders more
        more = 1 + self._due / np.maximum(equity_cents, 1)
        self.wealth = self.wealth * np.where(equity_cents > 0, more, 1.0)
        life.voice += prizes.voice
        if prizes.children and self._tabulate is not None:
            after = tuple(prizes.children.get(p, one) for p, one in enumerate(personas))
            self.population = replace(self.population, personas=after)
            self.decider.replace(list(prizes.children), self._tabulate(self.population))

    def _meet(self, life: SocialLife, view: MarketView) -> NDArray[np.float64]:
        """Read the others' posts and rumours; return peers' moods, NaN for who read nothing."""
        position = view.position[:, self._asset]
        self._holdings = Holdings(view.cash_cents, position, position.copy())
        moods = life.morning(view.day)
        self.observer.tell_tones(life.hearsay(view.day))
        return moods
