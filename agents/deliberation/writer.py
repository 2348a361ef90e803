"""A writer: one base at which many agents' pages are read, texts written and choices made.

A page is what an agent has read so far; its keys and values are computed once as long as it begins
the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import (
    INVOCATION,
    OPTIONS,
    render_rules,
    render_view,
    view_words,
)
from evobourse.merge.engine.generation import Sampling, write_texts
from evobourse.merge.engine.prompt import Token
from evobourse.merge.engine.sequences import SequenceReader, TokenSequence
from evobourse.merge.peft.mind_vector import Mixture

TOGETHER = 32
"""Agents whose sequences are worked on at once; no bits depend on it."""

_KIND = "sheet"
_LEAST_VIEWS = 64


@dataclass(frozen=True)
class Ask:
    """Something asked of a mind.

    Attributes
    ----------
    agent
        Whose page it is; an agent asks one thing at a time.
    page
        What the agent has read, piece by piece. Adapters that wait for the invocation do not
        act here, so that every mind reads a page as the base does.
    view
        What the agent sees, see `agents.observation`; it stands behind the invocation, from
        where on the mind's adapters act.
    mind
        Who answers, see `agents.personas.persona.Persona.mind`.
    profile
        What of the page always stands there and says who the agent is: part of the page that says
        nothing, by which leanings are measured.
    """

    agent: int
    page: tuple[str, ...]
    view: int
    mind: Mixture
    profile: str = ""


@dataclass(frozen=True)
class Written:
    """A text, the tokens of the prompt before it, and its own."""

    text: str
    prompt_tokens: int
    generated_tokens: int


@dataclass
class TokenCounters:
    """Tokens of a writer.

    Attributes
    ----------
    prompt
        Of all prompts, each counted whole: what a model without a memory reads.
    generated
        Written.
    choices, texts
        How many prompts ended in either.
    """

    prompt: int = 0
    generated: int = 0
    choices: int = 0
    texts: int = 0


@dataclass
class _Sheet:
    """A sequence, and the pieces that it holds, the rules first, with the place where each ends."""

    sequence: TokenSequence
    pieces: list[tuple[tuple[Token, ...], int]]

    @property
    def nbytes(self) -> int:
        return self.sequence.nbytes

    @property
    def end(self) -> int:
        return self.pieces[-1][1]


class BatchWriter:
    """Reads, writes and chooses on one engine's base.

    Parameters
    ----------
    engine
        The base, its adapters, and the memory in which sequences are kept.

    Attributes
    ----------
    counters
        See `TokenCounters`.

    Notes
    -----
    Each piece of a page is computed as a whole, so that it does not matter which of them were
    still known: an answer has the same bits after a sequence was let go and read again.
    """

    def __init__(self, engine: MindEngine):
        self.engine = engine
        self.counters = TokenCounters()
        self._reader = SequenceReader(engine.decoder, engine.bank)
        self._waits = [a.invocation_tokens is not None for a in engine.bank.adapters]
        self._bias: dict[tuple[bytes, str, int], NDArray[np.float64]] = {}

    @property
    def computed(self) -> int:
        """Tokens of prompts that passed through the layers; all others were known."""
        return self._reader.computed

    def count(self, text: str) -> int:
        """Return the length of a text in tokens."""
        return len(self.engine.tokenize(text))

    def write(
        self,
        asks: Sequence[Ask],
        cue: str,
        most_tokens: int,
        temperature: float,
        rngs: Sequence[np.random.Generator],
    ) -> list[Written]:
        """Let each mind go on behind its page, its view and a cue, to the end of a line.

        Each has a stream of random numbers of its own: no text depends on what is written beside.
        """
        sampling = Sampling(most_tokens, temperature, self.engine.line_ends)
        written = []
        for part in _parts(len(asks)):
            own = asks[part]
            seen = ("".join(f" {word}" for word in view_words(ask.view)) for ask in own)
            sequences = self._read(own, [words + cue for words in seen])
            lengths = [len(sequence) for sequence in sequences]
            minds = [ask.mind for ask in own]
            texts = write_texts(self._reader, sequences, minds, sampling, rngs[part])
            for length, tokens in zip(lengths, texts, strict=True):
                written.append(Written(self.engine.detokenize(tokens), length, len(tokens)))
                self.counters.generated += len(tokens)
        self.counters.texts += len(asks)
        return written

    def choose(self, asks: Sequence[Ask], options: int = len(OPTIONS)) -> NDArray[np.float64]:
        """Return the logits of the first options behind each page and view: float64[n, options]."""
        letters = self.engine.options[:options]
        logits = np.zeros((len(asks), options))
        for part in _parts(len(asks)):
            own = asks[part]
            tails = [render_view(ask.view).removeprefix(INVOCATION) for ask in own]
            sequences = self._read(own, tails)
            logits[part] = self._reader.option_logits(sequences, letters)
        self.counters.choices += len(asks)
        return logits

    def bias(self, mind: Mixture, page: str, views: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how a mind leans behind a page that says nothing: float64[5], antisymmetric.

        As in `agents.minds.choices.tabulate_choices`: over all that it may see a mind should lean
        neither way, so this is what its logits are to be reduced by. At most 64 of the views are
        asked.
        """
        key = (mind.tobytes(), page, len(views))
        if key not in self._bias:
            step = -(-len(views) // _LEAST_VIEWS)
            shared = render_rules() + page
            words = (render_view(int(view)).removeprefix(INVOCATION) for view in views[::step])
            prompts = [self.engine.text_prompt(shared, own) for own in words]
            mean = self.engine.answer_prompts(mind, prompts).astype(np.float64).mean(axis=0)
            self._bias[key] = (mean - mean[::-1]) / 2.0
        return self._bias[key]

    def pieces(self, ask: Ask, tail: str) -> list[tuple[Token, ...]]:
        """Cut a prompt's tokens: the rules, the page's pieces, and from the invocation to its end.

        Pieces that a token of the next takes along are left out.
        """
        cut = self.engine.tokens.cut(render_rules(), *ask.page, INVOCATION, tail)
        self.engine.check_length(sum(map(len, cut)))
        return [*filter(None, cut[:-2]), cut[-2] + cut[-1]]

    def _read(self, asks: Sequence[Ask], tails: Sequence[str]) -> list[TokenSequence]:
        """Read pages as far as they are not known, then the tails; return the sequences."""
        asleep = [self._asleep(ask.mind) for ask in asks]
        cuts = [self.pieces(ask, tail) for ask, tail in zip(asks, tails, strict=True)]
        pages = [cut[:-1] for cut in cuts]
        sheets = [self._sheet(*row) for row in zip(asks, pages, asleep, strict=True)]
        for depth in range(1, max(map(len, pages))):
            rows = [
                row
                for row, page in enumerate(pages)
                if depth < len(page) and len(sheets[row].pieces) == depth
            ]
            if rows:
                pieces = [pages[row][depth] for row in rows]
                sequences = [sheets[row].sequence for row in rows]
                self._reader.read(sequences, pieces, [asleep[row] for row in rows])
                for row, piece in zip(rows, pieces, strict=True):
                    sheets[row].pieces.append((piece, len(sheets[row].sequence)))
        sequences = [sheet.sequence for sheet in sheets]
        self._reader.read(sequences, [cut[-1] for cut in cuts], [ask.mind for ask in asks])
        for ask, reads, sheet in zip(asks, asleep, sheets, strict=True):
            self.engine.budget.put(self._key(ask.agent, reads), sheet)
        self.counters.prompt += sum(map(len, sequences))
        return sequences

    def _sheet(self, ask: Ask, page: Sequence[tuple[Token, ...]], asleep: Mixture) -> _Sheet:
        """Return an agent's sheet, rewound to what its page has in common with it."""
        sheet = self.engine.budget.get(self._key(ask.agent, asleep))
        if not isinstance(sheet, _Sheet) or sheet.pieces[0][0] != page[0]:
            sheet = _Sheet(self._opened(page[0], asleep), [(page[0], len(page[0]))])
        same = 0
        for (known, _), piece in zip(sheet.pieces, page, strict=False):
            if known != piece:
                break
            same += 1
        del sheet.pieces[same:]
        sheet.sequence.rewind(sheet.end)
        return sheet

    def _opened(self, rules: tuple[Token, ...], asleep: Mixture) -> TokenSequence:
        """Return a sequence that has read the rules."""
        key = self._key(-1, asleep)
        kept = self.engine.budget.get(key)
        if not isinstance(kept, _Sheet) or kept.pieces[0][0] != rules:
            kept = _Sheet(TokenSequence(), [(rules, len(rules))])
            self._reader.read([kept.sequence], [rules], [asleep])
            self.engine.budget.put(key, kept)
        return kept.sequence.fork()

    def _asleep(self, mind: Mixture) -> Mixture:
        """Return what of a mind acts before the invocation."""
        acting = mind.copy()
        acting[:, self._waits] = 0
        return acting

    def _key(self, agent: int, asleep: Mixture) -> tuple[str, str, int, bytes]:
        return (_KIND, self.engine.base_hash, agent, asleep.tobytes())


def _parts(count: int) -> Iterator[slice]:
    return (slice(at, at + TOGETHER) for at in range(0, count, TOGETHER))
