"""A deliberate decision: reason, consult, think again, choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.deliberation.settings import Deliberation
from evobourse.agents.deliberation.wording import cue_of, line_of, render_situation, sentence_of
from evobourse.agents.deliberation.writer import Ask, BatchWriter
from evobourse.agents.observation import TENDENCIES
from evobourse.merge.peft.mind_vector import Mixture

MARKET = "market"
"""What goes on between the stages of thinking."""

NEUTRAL_PAGE = render_situation(0, 1, "", (), ()).rstrip()
"""A page that says nothing, by which leanings are measured."""


@dataclass(frozen=True)
class Text:
    """A row of the tape's table ``texts``: whose, of what kind, and its lengths in tokens."""

    agent: int
    kind: str
    text: str
    prompt_tokens: int = 0
    generated_tokens: int = 0


@dataclass(frozen=True, eq=False)
class Thought:
    """What n agents came to.

    Attributes
    ----------
    own, advised
        float64[n, 5]: probabilities of the options before any advice and after all of it.
    choice
        float64[n, 5]: `revise` of both.
    verdict
        int64[n]: what the expert would choose, -2..2; the agent's own likeliest without one.
    asks
        The agents' pages with all that was thought.
    """

    own: NDArray[np.float64]
    advised: NDArray[np.float64]
    choice: NDArray[np.float64]
    verdict: NDArray[np.int64]
    asks: Sequence[Ask]


def revise(
    own: NDArray[np.float64], advised: NDArray[np.float64], receptivity: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move choices towards what they are after advice: ``(1 - r) own + r advised``.

    The linear opinion pool of one's former and later self (Stone 1961; DeGroot 1974, JASA 69), so
    that the total variation between a choice and the one before advice is exactly r times that
    between the one after advice and the one before.

    Parameters
    ----------
    own, advised
        Probabilities float64[n, 5].
    receptivity
        float64[n] in 0..1.
    """
    weight = receptivity[:, None]
    return (1.0 - weight) * own + weight * advised


def to_probabilities(
    logits: NDArray[np.float64], temperature: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the softmax of logits float64[n, k] at temperatures float64[n]."""
    scaled = logits / temperature[:, None]
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    chances: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return chances


class Thinker:
    """Thinks for many agents at once.

    Parameters
    ----------
    writer
        The agents' own base.
    advisers
        The expert's base; the same where the expert is a style.
    expert
        The expert's mind on it.
    settings
        Lengths, temperature, iterations.
    views
        Views that the agents can meet, by which leanings are measured.
    on_stage
        Called with the name of each stage.
    """

    def __init__(
        self,
        writer: BatchWriter,
        advisers: BatchWriter,
        expert: Mixture,
        settings: Deliberation,
        views: NDArray[np.int64],
        on_stage: Callable[[str], None] = lambda stage: None,
    ):
        self.writer, self.advisers, self.settings = writer, advisers, settings
        self.texts: list[Text] = []
        self._expert, self._views, self._on_stage = expert, views, on_stage

    def among(self, names: Sequence[str]) -> Thinker:
        """Return one like this for some personas, on the same bases."""
        own = {name: traits for name, traits in self.settings.personas.items() if name in names}
        settings = replace(self.settings, personas=own)
        given = (self.writer, self.advisers, self._expert, settings, self._views, self._on_stage)
        return Thinker(*given)

    def think(
        self,
        asks: Sequence[Ask],
        temperature: NDArray[np.float64],
        receptivity: NDArray[np.float64],
        rngs: Sequence[np.random.Generator],
    ) -> Thought:
        """Come to a choice.

        Parameters
        ----------
        asks
            One an agent.
        temperature, receptivity
            float64[n], of the agents' personas.
        rngs
            The agents' own streams.
        """
        settings = self.settings
        asks = self._go_on(self.writer, asks, "reason", settings.reason_tokens, rngs)
        own = advised = self._choose(self.writer, asks, temperature)
        verdict = own.argmax(axis=1) - 2
        for _ in range(settings.iterations):
            consulted = [replace(ask, mind=self._expert) for ask in asks]
            self._on_stage("the expert's choice")
            verdict = self._logits(self.advisers, consulted).argmax(axis=1) - 2
            said = [f" I would choose {TENDENCIES[choice + 2]}." for choice in verdict]
            advice = self._go_on(
                self.advisers, consulted, "advice", settings.advice_tokens, rngs, said
            )
            asks = [replace(a, mind=ask.mind) for a, ask in zip(advice, asks, strict=True)]
            asks = self._go_on(self.writer, asks, "revision", settings.revision_tokens, rngs)
            advised = self._choose(self.writer, asks, temperature)
        self._on_stage(MARKET)
        return Thought(own, advised, revise(own, advised, receptivity), verdict, asks)

    def write(
        self, asks: Sequence[Ask], kind: str, most_tokens: int, rngs: Sequence[np.random.Generator]
    ) -> list[str]:
        """Let agents write a text of a kind; return it, kept as a row as well."""
        rows = self._write(self.writer, asks, kind, most_tokens, rngs)
        self._on_stage(MARKET)
        return [row.text for row in rows]

    def keeps(
        self,
        asks: Sequence[Ask],
        questions: Sequence[tuple[str, str]],
        temperature: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the probability that each agent keeps an order: float64[n].

        Asked in both orders of the answers, so that what a mind gives to a letter cancels.

        Parameters
        ----------
        asks
            Pages without the question.
        questions
            A keeps, B withdraws; and swapped.
        temperature
            float64[n].
        """
        self._on_stage("withdrawals")
        kept = np.zeros(len(asks))
        for swapped in (False, True):
            asked = [
                replace(ask, page=(*ask.page, pair[swapped]))
                for ask, pair in zip(asks, questions, strict=True)
            ]
            logits = self.writer.choose(asked, options=2)
            sign = -1.0 if swapped else 1.0
            kept += sign * (logits[:, 0] - logits[:, 1]) / 2.0
        self._on_stage(MARKET)
        pair = np.stack([kept, np.zeros(len(asks))], axis=1)
        return to_probabilities(pair, temperature)[:, 0]

    def tokens(self) -> dict[str, int]:
        """Return the tokens of all prompts, those of them that were computed, those generated."""
        writers = {id(writer): writer for writer in (self.writer, self.advisers)}.values()
        return {
            "prompt": sum(writer.counters.prompt for writer in writers),
            "computed": sum(writer.computed for writer in writers),
            "generated": sum(writer.counters.generated for writer in writers),
        }

    def _go_on(
        self,
        writer: BatchWriter,
        asks: Sequence[Ask],
        kind: str,
        most_tokens: int,
        rngs: Sequence[np.random.Generator],
        further: Sequence[str] | None = None,
    ) -> list[Ask]:
        """Write a text each and put it, with what is said further, on the page."""
        rows = self._write(writer, asks, kind, most_tokens, rngs, further)
        return [
            replace(ask, page=(*ask.page, line_of(kind, row.text)))
            for ask, row in zip(asks, rows, strict=True)
        ]

    def _write(
        self,
        writer: BatchWriter,
        asks: Sequence[Ask],
        kind: str,
        most_tokens: int,
        rngs: Sequence[np.random.Generator],
        further: Sequence[str] | None = None,
    ) -> list[Text]:
        self._on_stage(kind)
        temperature = self.settings.text_temperature
        written = writer.write(asks, cue_of(kind), most_tokens, temperature, rngs)
        rows = [
            Text(
                ask.agent,
                kind,
                sentence_of(kind, own.text) + more,
                own.prompt_tokens,
                own.generated_tokens,
            )
            for ask, own, more in zip(asks, written, further or [""] * len(asks), strict=True)
        ]
        self.texts += rows
        return rows

    def _choose(
        self, writer: BatchWriter, asks: Sequence[Ask], temperature: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        self._on_stage("choice")
        return to_probabilities(self._logits(writer, asks), temperature)

    def _logits(self, writer: BatchWriter, asks: Sequence[Ask]) -> NDArray[np.float64]:
        """Return option logits less each mind's leaning: float64[n, 5]."""
        pages = [ask.profile + NEUTRAL_PAGE for ask in asks]
        leaning = [writer.bias(a.mind, p, self._views) for a, p in zip(asks, pages, strict=True)]
        return writer.choose(asks) - np.array(leaning)
