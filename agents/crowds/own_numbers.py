"""The ablation: agents whose mind names price and quantity itself, in digits that must parse.

A malformed reply is no order: it is counted, and never repaired.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import INVOCATION, TENDENCIES, view_words
from evobourse.market.crowd import Orders
from evobourse.merge.engine.generation import Sampling, write_texts
from evobourse.merge.engine.sequences import SequenceReader, TokenSequence

MOST_TOKENS = 12
RULES = (
    "You are an investor in a market for one stock. Every morning you see some signs and know what "
    "you want. You name your limit price, in percent from the last close, and how many lots, as in "
    "these orders: +0.80% 20 lots; -1.35% 5 lots; +2.10% 60 lots."
)
_REPLY = re.compile(r"\s*([+-]?\d{1,2}(?:\.\d{1,2})?) ?%,? (\d{1,4}) lots?\s*[.;]?.*", re.DOTALL)


@dataclass(frozen=True)
class NamedOrder:
    """A reply: its text, and the numbers in it, None where it is malformed."""

    text: str
    offset_percent: float | None
    lots: int | None


def parse_reply(text: str) -> NamedOrder:
    """Read "+0.80% 20 lots" strictly: a percentage of two digits at most, then lots, at least 1.

    What follows the order after its end is not read.
    """
    found = _REPLY.fullmatch(text)
    if found is None or int(found[2]) == 0:
        return NamedOrder(text, None, None)
    return NamedOrder(text, float(found[1]), int(found[2]))


class NumberWriter:
    """Lets minds name orders, many in one batch (`merge.engine.generation`).

    Parameters
    ----------
    engine
        The base and its adapters.
    """

    def __init__(self, engine: MindEngine) -> None:
        self._engine = engine
        self._reader = SequenceReader(engine.decoder, engine.bank)
        self._waits = [a.invocation_tokens is not None for a in engine.bank.adapters]
        self._opened: dict[bytes, TokenSequence] = {}

    def write(
        self,
        minds: Sequence[NDArray[np.float32]],
        views: Sequence[int],
        tendencies: Sequence[int],
        temperature: float,
        rngs: Sequence[np.random.Generator],
    ) -> list[NamedOrder]:
        """Ask each mind for an order in view of something, given what it wants (-2..2)."""
        if not len(minds):
            return []
        engine = self._engine
        sequences = [self._open(mind) for mind in minds]
        tails = []
        for view, tendency in zip(views, tendencies, strict=True):
            words = "".join(f" {word}" for word in view_words(view))
            cue = f"{words}; {TENDENCIES[tendency + 2]}; order:"
            _, opening, own = engine.tokens.cut(RULES, INVOCATION, cue)
            tails.append([*opening, *own])
        self._reader.read(sequences, tails, list(minds))
        sampling = Sampling(MOST_TOKENS, temperature, engine.line_ends)
        texts = write_texts(self._reader, sequences, list(minds), sampling, rngs)
        return [parse_reply(engine.detokenize(tokens)) for tokens in texts]

    def _open(self, mind: NDArray[np.float32]) -> TokenSequence:
        """Return a sequence that has read the rules, as this mind reads them."""
        asleep = mind.copy()
        asleep[:, self._waits] = 0  # activated adapters act behind the invocation alone
        key = asleep.tobytes()
        if key not in self._opened:
            sequence = TokenSequence()
            rules = self._engine.tokens.cut(RULES, INVOCATION)[0]
            self._reader.read([sequence], [rules], [asleep])
            self._opened[key] = sequence
        return self._opened[key].fork()


class NamingCrowd(PersonaCrowd):
    """Personas as ever, but whose minds name offset and lots of each order themselves.

    Tendencies, activity and sides are drawn as ever: who leans to neither side sends nothing. A
    reply that does not parse is no order, and counted. Prices further than the market's limits are
    the market's to refuse.

    Attributes
    ----------
    replies
        All replies so far.
    """

    writer: NumberWriter
    temperature: float = 1.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.replies: list[NamedOrder] = []
        if self.population.society.mechanisms.two_sided:
            raise AgentError(
                "named_numbers and mechanisms.two_sided are both set, and a mind names one order; "
                "set named_numbers: false, or mechanisms: false in the scenario"
            )
        self._named = np.full((2, self.n_agents), np.nan)

    def name_with(self, writer: NumberWriter, temperature: float = 1.0) -> NamingCrowd:
        """Let minds name numbers by this writer; returns itself."""
        self.writer, self.temperature = writer, temperature
        return self

    def orders(self) -> Orders:
        """Keep who sends an order to which side, and ask for the numbers."""
        fitted = super().orders()
        self._named = np.full((2, self.n_agents), np.nan)
        decision = self._decision
        wants = decision.tendency[fitted.agent] * fitted.side > 0
        agents, sides = fitted.agent[wants], fitted.side[wants]
        if not len(agents):
            return Orders.empty()
        replies = self._name(agents)
        self.replies += replies
        good = np.array([reply.lots is not None for reply in replies])
        self._named[0, agents] = [-1.0 if r.lots is None else r.lots for r in replies]
        self._named[1, agents] = [
            np.nan if r.offset_percent is None else r.offset_percent for r in replies
        ]
        kept = agents[good]
        reference = self._morning.reference_ticks
        prices = np.rint(reference * (1 + self._named[1, kept] / 100)).astype(np.int64)
        # As with fitted orders: for the first asset the column is left out.
        asset = np.full(len(kept), self._asset) if self._asset else None
        lots = self._named[0, kept].astype(np.int64)
        return Orders(kept, sides[good], np.maximum(prices, 1), lots, asset=asset)

    def _name(self, agents: NDArray[np.int64]) -> list[NamedOrder]:
        """Ask the minds of agents, who want to trade, for the numbers of their orders."""
        decision = self._decision
        return self.writer.write(
            [self.population.personas[p].mind for p in self.persona[agents]],
            decision.view[agents].tolist(),
            decision.tendency[agents].tolist(),
            self.temperature,
            self._rng.spawn(len(agents)),
        )

    def decisions(self) -> dict[str, NDArray[np.generic]]:
        """Return the columns of others, and of each reply the offset (%), lots, and malformed."""
        columns = super().decisions()
        shown = len(columns["agent"])
        lots, offset = self._named[:, :shown]
        return {
            **columns,
            "offset_percent": offset,
            "lots": np.where(lots > 0, lots, np.nan),
            "malformed": lots < 0,
        }
