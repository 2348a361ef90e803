"""A crowd that asks its minds day by day: for views with numbers in, which no table can hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import choice_steps, decide
from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.crowds.order_regimes import OrderRegimes
from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.encodings.window import IS_PRICE, scaled_returns, widen
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import cumulate, lean
from evobourse.agents.observation import (
    FIELDS,
    HISTORY_DAYS,
    decode_view,
    possible_views,
    price_values,
    to_levels,
)
from evobourse.agents.personas.persona import Population
from evobourse.market.crowd import MarketView

if TYPE_CHECKING:  # it needs torch, which markets with tables run without
    from evobourse.agents.encodings.encoded_minds import EncodedMinds

REFERENCE_DAYS = 8


@dataclass(frozen=True, eq=False)
class Questions:
    """What the minds of P personas are asked on one morning.

    Attributes
    ----------
    views
        int64[V], what is seen, each once.
    row
        int64[n], which of them each agent sees.
    asked
        P rows int64[q]: those of views that agents of a persona see.
    window
        float32[W], the morning's returns.
    """

    views: NDArray[np.int64]
    row: NDArray[np.int64]
    asked: tuple[NDArray[np.int64], ...]
    window: NDArray[np.float32]

    def of(self, persona: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return a persona's views, int64[q], and the window beside each, float32[q, W]."""
        rows = self.asked[persona]
        return self.views[rows], np.tile(self.window, (len(rows), 1))


class AskingCrowd(PersonaCrowd):
    """Agents whose minds are asked each morning for what their agents see.

    Everybody sees one window of an asset, or none of it: where a number of signs is shown, an agent
    with any price sign in view sees the window in place of all of them
    (`agents.encodings.window.widen`). A day's questions are personas times distinct rests of a
    view, over one window. With words it decides as a crowd with a table does, draw for draw.

    Minds should lean neither way over all that they may see, see
    `agents.minds.choices.tabulate_choices`. For numbers that is taken over every rest of a view on
    `REFERENCE_DAYS` days of the history before the simulation, evenly spaced, each also with all
    its returns mirrored.

    Parameters
    ----------
    minds
        What answers. The others: see `agents.crowds.persona_crowd.PersonaCrowd`.

    Raises
    ------
    AgentError
        The society has a mechanism that needs a table, or words.
    """

    def __init__(
        self,
        population: Population,
        minds: EncodedMinds,
        offsets: OffsetClusters | OrderRegimes,
        n_agents: int,
        rng: np.random.Generator,
        asset: int = 0,
        turns: int = 1,
    ):
        if population.society.mechanisms.value_news and minds.encoding.numeric:
            raise AgentError(
                "mechanisms.value_news and numbers for minds are both set, and a window of numbers "
                "shows no perceived value; set value_news: 0 or minds.encoding: words"
            )
        nothing = np.empty((len(population.personas), 0, 5))
        super().__init__(population, nothing, offsets, n_agents, rng, asset, turns)
        self.minds = minds
        self._lean = np.empty((0, 1, 5))  # measured on the first morning
        temperatures = [persona.temperature for persona in population.personas]
        self._temperatures = np.array(temperatures)
        unseen = np.zeros(0, np.int64)
        self._questions = Questions(unseen, unseen, (), np.zeros(0, np.float32))

    def observe(self, view: MarketView) -> None:
        """See the market as a crowd with a table does, and its window."""
        super().observe(view)
        if not self._acts:
            return
        log_path = np.log(view.assets[self._asset].close_ticks)
        if not len(self._lean):
            self._lean = self._measure_lean(log_path)
        window = scaled_returns(log_path)
        if self.minds.encoding.numeric:
            beside = np.zeros(len(FIELDS) - IS_PRICE.sum())
            today = to_levels(np.array([*price_values(log_path), *beside]))
            seen = np.where(IS_PRICE, today, decode_view(self._morning.views))
            self._morning = replace(self._morning, views=widen(self._morning.views, seen))
        views, row = np.unique(self._morning.views, return_inverse=True)
        persona, personas = self.decider.persona, self.population.personas
        asked = tuple(np.unique(row[persona == p]) for p in range(len(personas)))
        self._questions = Questions(views, row, asked, window)
        for p, one in enumerate(personas):  # answered with those of all markets beside this one
            self.minds.ask(one.mind, *self._questions.of(p))

    def _choose(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        questions, personas = self._questions, self.population.personas
        cumulative = np.ones((len(personas), len(questions.views), 5))
        for p, one in enumerate(personas):
            own = slice(p, p + 1)
            answers = self.minds.answer(one.mind, *questions.of(p))[None].astype(np.float64)
            rows = cumulate(answers, self._lean[own], self._temperatures[own])
            [cumulative[p, questions.asked[p]]] = rows
        each = np.arange(len(questions.views), dtype=np.int16)
        steps = choice_steps(cumulative)
        return decide(steps, self.decider.persona, each, questions.row, words)

    def _measure_lean(self, log_path: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what to subtract from each persona's answers, float64[P, 1, 5]."""
        views = possible_views(self.population.society.attention)
        windows = [scaled_returns(log_path)]
        if self.minds.encoding.numeric:
            views = np.unique(widen(views, np.where(IS_PRICE, 0, decode_view(views))))
            ends = np.linspace(HISTORY_DAYS, len(log_path), REFERENCE_DAYS).astype(np.int64)
            windows = [scaled_returns(log_path[:end]) for end in ends]
            windows += [-window for window in windows]
        asked, days = np.tile(views, len(windows)), np.repeat(windows, len(views), axis=0)
        minds = [persona.mind for persona in self.population.personas]
        for mind in minds:
            self.minds.ask(mind, asked, days)
        answers = [self.minds.answer(mind, asked, days) for mind in minds]
        return lean(np.array(answers, np.float64))


def seat_crowd(
    population: Population,
    choices: NDArray[np.float64] | EncodedMinds,
    offsets: OffsetClusters | OrderRegimes,
    n_agents: int,
    rng: np.random.Generator,
) -> PersonaCrowd:
    """Make a crowd of what its minds choose, or one that asks them as it goes."""
    if isinstance(choices, np.ndarray):
        return PersonaCrowd(population, choices, offsets, n_agents, rng)
    return AskingCrowd(population, choices, offsets, n_agents, rng)
