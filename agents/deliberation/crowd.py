"""A crowd of personas who deliberate in every turn of a day."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.ordering import Sent
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.deliberation.memory import LayeredMemory
from evobourse.agents.deliberation.thinking import Text, Thinker, Thought
from evobourse.agents.deliberation.wording import (
    line_of,
    render_account,
    render_close,
    render_decision,
    render_episode,
    render_fill,
    render_memory,
    render_morning,
    render_position,
    render_profile,
    render_situation,
    render_withdrawal,
)
from evobourse.agents.deliberation.writer import Ask
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES, decode_view, view_words
from evobourse.agents.personas.persona import Population
from evobourse.market.crowd import DayOutcome, MarketView, Orders, TurnOutcome
from evobourse.market.crowds.withdrawal import withdraw

_NEWS, _PEERS = FIELD_NAMES.index("news"), FIELD_NAMES.index("crowd")
_LEAN = np.arange(-2.0, 3.0)
_OLD = 99  # days; a memory is counted with the longest date that it is likely to get


class DeliberateCrowd(PersonaCrowd):
    """Agents of a population who think in words before each turn.

    What they see of the market is what a `PersonaCrowd` sees, once a day and through the same
    masks. On top of it they have their own account and orders, what they remember, and in words
    what reaches them through two of the fields: news and rumours, where an agent sees ``news``
    that day, and posts of those whom it reads, where it sees ``crowd``.

    Parameters
    ----------
    population, offsets, n_agents, rng, asset, first_persona
        As for `PersonaCrowd`; each agent writes from a stream of its own.
    thinker
        Thinks for all of them.
    turns
        Of a day.
    tick_cents
        Value of a tick of a lot.
    future
        Whether the asset is one: then cash is all that an agent owns, and a position is open.

    Attributes
    ----------
    memories
        One an agent.

    Raises
    ------
    AgentError
        Settings name a persona that the population has not, a persona is on another base, or the
        society has mechanisms, which are made for one decision a day from a table.
    """

    def __init__(
        self,
        population: Population,
        thinker: Thinker,
        offsets: OffsetClusters | OrderRegimes,
        n_agents: int,
        rng: np.random.Generator,
        turns: int,
        tick_cents: int = 1,
        asset: int = 0,
        first_persona: int = 0,
        future: bool = False,
    ):
        nothing = np.empty((0, 0, 5))
        super().__init__(
            population, nothing, offsets, n_agents, rng, asset, turns, first_persona=first_persona
        )
        names = [persona.name for persona in population.personas]
        settings = thinker.settings
        if strange := sorted(set(settings.personas) - set(names)):
            raise AgentError(
                f"deliberation.personas: {strange[0]!r} is no persona, expected of "
                f"{', '.join(names)}"
            )
        if elsewhere := [p.name for p in population.personas if p.base is not None]:
            raise AgentError(
                f"deliberation: persona {elsewhere[0]!r} is on a base of its own; deliberate with "
                "a population on one base"
            )
        if on := list(population.society.mechanisms.on):
            raise AgentError(
                f"deliberation and mechanisms.{on[0]} are both set, and they are of agents who "
                "decide once a day at a glance; set mechanisms: false in the scenario"
            )
        self._thinker, self._turns, self._tick_cents = thinker, turns, tick_cents
        self._future, self._unit = future, "lot" if future else "share"
        self._called = np.zeros(n_agents, bool)
        self._profiles: list[str] = [
            render_profile(persona.profile) if settings.profiles else ""
            for persona in population.personas
        ]
        self._rngs = rng.spawn(n_agents)
        traits = np.array([settings.of_persona(name) for name in names])
        self._receptivity, self._memory_days = traits.T
        self._temperature = np.array([persona.temperature for persona in population.personas])
        self._minds = [persona.mind for persona in population.personas]
        self.memories = [
            LayeredMemory(settings.memory, self._memory_days[persona]) for persona in self.persona
        ]
        self._posts = [""] * n_agents
        self._said: list[tuple[str, NDArray[np.int64] | None]] = []
        self._rows: list[Text] = []
        # The day so far.
        self._turn = self._day = self._close = 0
        self._mark = 0  # what positions have been paid for: a future's last settlement
        self._opening = np.ones(n_agents)
        self._tendencies: list[NDArray[np.int64]] = []
        self._sent_today: list[Sent] = []
        self._mornings = self._situations = [""] * n_agents
        # The turn so far.
        lots = np.zeros(n_agents, np.int64)
        self._live = self._before = lots, lots
        chances = np.zeros((n_agents, 5))
        self._thought = Thought(chances, chances, chances, lots, ())

    def observe(self, view: MarketView) -> None:
        """See the market in the morning as a `PersonaCrowd` does; in every turn one's account."""
        super().observe(view)
        self._acts = True  # agents act in every turn, not in the first alone
        self._turn, self._day = view.turn, view.day
        asset = view.assets[self._asset]
        self._live = view.cash_cents, view.position[:, self._asset]
        self._before = self._live[0].copy(), self._live[1].copy()
        if view.turn == 0:
            self._said = []
            self._close = asset.reference_ticks
            self._mark = self._close if self._future else 0
            self._opening = self._equity(self._close)
            self._tendencies, self._sent_today = [], []
        else:
            self._morning = replace(self._morning, reference_ticks=asset.last_ticks)
        self._hear(view)
        if view.turn == 0:
            self._mornings = [self._wake(agent) for agent in range(self.n_agents)]
        resting = np.zeros(0, np.int64) if asset.resting is None else asset.resting.agent
        waiting = np.bincount(resting, minlength=self.n_agents)
        accounts = self._accounts(asset.last_ticks, waiting)
        self._situations = [
            render_situation(
                view.turn,
                self._turns,
                accounts[agent],
                self.memories[agent].latest_notes(),
                self._heard_by(agent),
            )
            for agent in range(self.n_agents)
        ]

    def orders(self) -> Orders:
        """Think, choose, and turn tendencies into orders as a `PersonaCrowd` does."""
        orders = super().orders()
        self._tendencies.append(self._decision.tendency)
        self._sent_today.append(self._sent)
        return orders

    def matched(self, outcome: TurnOutcome) -> Orders | None:
        """Note what was traded, and withdraw what agents no longer want to wait for."""
        self._note_fills()
        cancels = withdraw(outcome)
        if not len(cancels):
            return None
        agents = cancels.agent.tolist()
        left = np.zeros(self.n_agents, np.int64)
        left[outcome.orders.agent] = outcome.orders.quantity - outcome.filled
        questions = []
        for agent, side, ticks in zip(agents, cancels.side, cancels.price_ticks, strict=True):
            order = (int(side), int(left[agent]), float(ticks / self._close - 1.0))
            keep, swapped = (render_withdrawal(*order, s, self._unit) for s in (False, True))
            questions.append((keep, swapped))
        asks = [self._thought.asks[agent] for agent in agents]
        keeps = self._thinker.keeps(asks, questions, self._temperature[self.persona[agents]])
        drawn = np.array([self._rngs[agent].random() for agent in agents])
        goes = drawn >= keeps
        for agent in np.array(agents)[goes]:
            self._note(agent, "You withdrew your order.")
        columns = {f.name: getattr(cancels, f.name) for f in fields(cancels)}
        gone: dict[str, Any] = {n: None if c is None else c[goes] for n, c in columns.items()}
        return Orders(**gone)

    def settled(self, outcome: DayOutcome) -> None:
        """Reflect on the day, remember it, write posts, and learn as a `PersonaCrowd` does."""
        settle_ticks = int(outcome.settle_ticks[self._asset])
        self._mark = settle_ticks if self._future else 0  # gains are in the cash by now
        self._called[:] = False
        self._called[outcome.margin_called] = True
        profits = self._equity(settle_ticks) / self._opening - 1.0
        chosen = np.rint(np.mean(self._tendencies, axis=0)).astype(np.int64)
        accounts = self._accounts(settle_ticks, np.zeros(self.n_agents, np.int64))
        pages = [
            render_close(
                accounts[agent], self.memories[agent].latest_notes(), self._heard_by(agent)
            )
            for agent in range(self.n_agents)
        ]
        self._keep_pages(pages)
        asks = [self._ask(agent, page) for agent, page in enumerate(pages)]
        settings, thinker = self._thinker.settings, self._thinker
        lessons = thinker.write(asks, "reflection", settings.reflection_tokens, self._rngs)
        if self.life is not None:
            asks = [
                self._ask(agent, page, line_of("reflection", lesson))
                for agent, (page, lesson) in enumerate(zip(pages, lessons, strict=True))
            ]
            self._posts = thinker.write(asks, "post", settings.post_tokens, self._rngs)
        self._collect()
        for agent, lesson in enumerate(lessons):
            words = view_words(self._morning.views[agent])
            heard, profit = self._heard_by(agent), float(profits[agent])
            text = render_episode(words, heard, int(chosen[agent]), profit, lesson)
            move = abs(profit) / self._morning.volatility.recent
            tokens = thinker.writer.count(render_memory(_OLD, text))
            self.memories[agent].end_day(outcome.day, text, tokens, float(move / (1.0 + move)))
        self._decision = replace(self._decision, tendency=chosen)
        self._sent = self._senders()
        super().settled(outcome)

    def decisions(self) -> dict[str, NDArray[np.generic]]:
        """Return `PersonaCrowd.decisions` of every turn, and what came of thinking.

        ``own``, ``advised`` and ``lean`` are the mean tendencies (-2 to 2) of the choices before
        advice, after it, and of the one that was drawn from; ``advice`` is the expert's.
        """
        thought = self._thought
        return {
            **super().decisions(),
            "own": thought.own @ _LEAN,
            "advice": thought.verdict,
            "advised": thought.advised @ _LEAN,
            "lean": thought.choice @ _LEAN,
        }

    def interactions(self) -> dict[str, dict[str, NDArray[np.generic]]]:
        """Return the morning's links, what was read and what was told; in its turn alone."""
        return super().interactions() if self._turn == 0 else {}

    def texts(self) -> dict[str, NDArray[np.generic]]:
        """Return what was read and written since the last time."""
        rows, self._rows = self._rows, []
        if not rows:
            return {}
        return {
            field.name: np.array(
                [getattr(row, field.name) for row in rows],
                object if field.type == "str" else np.int64,
            )
            for field in fields(Text)
        }

    def _choose(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Think, and draw tendencies from what it came to."""
        self._keep_pages(self._situations, with_mornings=self._turn == 0)
        asks = [self._ask(agent, page) for agent, page in enumerate(self._situations)]
        own = self.persona
        thought = self._thinker.think(
            asks, self._temperature[own], self._receptivity[own], self._rngs
        )
        self._collect()
        self._thought = thought
        steps = np.cumsum(thought.choice, axis=1)[:, :-1]
        uniform = (words[1, :, None] + 0.5) / 2**32
        tendency: NDArray[np.int64] = (uniform >= steps).sum(axis=1) - 2
        for agent, chosen in enumerate(tendency):
            self._note(agent, render_decision(self._turn, int(chosen)))
        return tendency

    def _ask(self, agent: int, *pieces: str) -> Ask:
        page = tuple(piece for piece in (self._mornings[agent], *pieces) if piece)
        view, persona = int(self._morning.views[agent]), self.decider.persona[agent]
        return Ask(agent, page, view, self._minds[persona], self._profiles[persona])

    def _hear(self, view: MarketView) -> None:
        """Take in texts that are said to agents today."""
        for message in view.messages:
            if message.kind == "rumour" and self.life is not None:
                continue  # from whom and when it is heard is the society's matter
            self._said.append((f"{message.kind.capitalize()}: {message.text}", message.agents))

    def _heard_by(self, agent: int) -> list[str]:
        """Return the news and rumours of today that reach an agent: none without that field."""
        if not self._shows(agent, _NEWS):
            return []
        said = [text for text, agents in self._said if agents is None or agent in agents]
        rumours = [] if self.life is None else self.life.rumours.current
        told = [f"Rumour: {r.message.text}" for r in rumours if r.heard_day[agent] == self._day]
        return said + told

    def _read_by(self, agent: int) -> list[str]:
        """Return the posts that an agent reads this morning: none without the field."""
        if self.life is None or self.life.feed is None or not self._shows(agent, _PEERS):
            return []
        authors = self.life.feed.author[agent]
        return [self._posts[author] for author in authors if author >= 0 and self._posts[author]]

    def _shows(self, agent: int, field: int) -> bool:
        return bool(decode_view(self._morning.views[agent])[field] >= 0)

    def _wake(self, agent: int) -> str:
        """Return what an agent has in mind all day: what it remembers and what friends wrote."""
        memory = self.memories[agent]
        memory.memory_days = float(self._memory_days[self.decider.persona[agent]])
        query = " ".join([*view_words(self._morning.views[agent]), *self._heard_by(agent)])
        episodes = memory.recall(self._day, query)
        remembered = [(self._day - episode.day, episode.text) for episode in episodes]
        profile = self._profiles[int(self.decider.persona[agent])]
        return profile + render_morning(remembered, self._read_by(agent))

    def _equity(self, price_ticks: int) -> NDArray[np.float64]:
        """Return what agents own at a price: float64[n] cents, at least 1."""
        cash, lots = self._live
        equity: NDArray[np.int64] = cash + lots * ((price_ticks - self._mark) * self._tick_cents)
        return np.maximum(equity, 1).astype(np.float64)

    def _accounts(self, price_ticks: int, waiting: NDArray[np.int64]) -> list[str]:
        equity, lots = self._equity(price_ticks), self._live[1]
        share = lots * (price_ticks * self._tick_cents) / equity
        profit = equity / self._opening - 1.0
        columns = (lots, share, profit, waiting, self._called)
        rows = zip(*(c.tolist() for c in columns), strict=True)
        if self._future:
            return [render_position(*row) for row in rows]
        return [render_account(*row[:4]) for row in rows]

    def _note(self, agent: int, text: str) -> None:
        self.memories[agent].note(text, self._thinker.writer.count(" " + text))

    def _note_fills(self) -> None:
        """Note what the turn did to each account, as its cash and lots tell."""
        paid = self._before[0] - self._live[0]
        bought = self._live[1] - self._before[1]
        for agent in np.flatnonzero(bought).tolist():
            price_ticks = self._mark + paid[agent] / (bought[agent] * self._tick_cents)
            distance = float(price_ticks / self._close - 1.0)
            self._note(agent, render_fill(int(bought[agent]), distance, self._unit))

    def _senders(self) -> Sent:
        """Return who sent an order today, once each, and the mean urgency of their orders."""
        agent = np.concatenate([sent.agent for sent in self._sent_today])
        urgency = np.concatenate([sent.urgency for sent in self._sent_today])
        counts = np.bincount(agent, minlength=self.n_agents)
        totals = np.bincount(agent, urgency, minlength=self.n_agents)
        senders = np.flatnonzero(counts)
        return Sent(self._sent.orders, senders, totals[senders] / counts[senders])

    def _keep_pages(self, pages: list[str], with_mornings: bool = False) -> None:
        """Keep what agents are about to read."""
        for agent, page in enumerate(pages):
            whole = (self._mornings[agent] if with_mornings else "") + page
            self._rows.append(Text(agent, "page", whole.strip()))

    def _collect(self) -> None:
        """Take over what was written."""
        self._rows += self._thinker.texts
        self._thinker.texts = []
