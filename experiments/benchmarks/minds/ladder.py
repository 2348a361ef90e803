"""One morning of a thousand agents against the peers' way, one saving switched on after another.

The savings are prefix, batch, memo and trunk, each here by itself, not as the engine combines them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.personas.persona import Population
from evobourse.experiments.benchmarks.minds.subject import Question, Subject
from evobourse.merge.engine.parts import Prefix
from evobourse.merge.engine.prompt import Token

ROWS = 128
Text = tuple[Token, ...]
PEER = (
    "one full prompt per agent and turn, batch 1, transformers in the faster of bf16 and fp32, "
    "generate a word"
)


@dataclass(frozen=True)
class Rung:
    """What one way of answering took.

    Attributes
    ----------
    name
        What is switched on.
    seconds
        For the whole morning, of all agents; scaled where only some were asked.
    asked
        Agents asked.
    logits
        The answers to those, float32[asked, 5]; None of the peers' way.
    """

    name: str
    seconds: float
    asked: int
    logits: NDArray[np.float32] | None


def peer_rung(subject: Subject, questions: Sequence[Question], agents: int) -> Rung:
    """Time the usual way on the first questions: no reuse, a generated word, no mind of its own.

    In the precision that is faster on this machine: where bf16 is emulated, fp32 is.
    """
    prompts = [torch.tensor([question.prompt.tokens]) for question in questions]

    def generate(tokens: torch.Tensor) -> float:
        began = time.perf_counter()
        subject.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=1, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
        return time.perf_counter() - began

    try:
        tried = {}
        for precision in (torch.float32, torch.bfloat16):
            subject.model.to(precision)
            generate(prompts[0])  # warms up
            tried[precision] = min(generate(prompts[0]) for _ in range(2))
        subject.model.to(min(tried, key=tried.__getitem__))
        seconds = sum(map(generate, prompts))
    finally:
        subject.model.to(torch.float32)
    return Rung(PEER, seconds * agents / len(prompts), len(prompts), None)


class Ladder:
    """The same questions, answered with one more saving at a time.

    Parameters
    ----------
    engine
        Whose decoder, adapters and options are used; its memo is not.
    population
        Whose minds the questions name.
    """

    def __init__(self, engine: MindEngine, population: Population):
        self.engine = engine
        self._minds = torch.from_numpy(np.stack([p.mind for p in population.personas]))

    def whole_prompts(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Answer one by one and compute the rules anew for each."""
        return np.concatenate([self._batch([q], self._read(q)) for q in questions])

    def with_prefix(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Answer one by one, after the rules were read once."""
        prefix = self._read(questions[0])
        return np.concatenate([self._batch([q], prefix) for q in questions])

    def in_batches(self, questions: Sequence[Question], trunk: bool = False) -> NDArray[np.float32]:
        """Answer many minds' questions of equal length together."""
        prefix = self._read(questions[0])
        answers = np.empty((len(questions), len(self.engine.options)), np.float32)
        lengths = np.array([len(question.private) for question in questions])
        for length in np.unique(lengths).tolist():
            same = np.flatnonzero(lengths == length).tolist()
            below = self._below([questions[r] for r in same], prefix) if trunk else None
            for at in range(0, len(same), ROWS):
                rows = same[at : at + ROWS]
                answers[rows] = self._batch([questions[r] for r in rows], prefix, below)
        return answers

    def distinct(self, questions: Sequence[Question], trunk: bool = False) -> NDArray[np.float32]:
        """Answer every different question once."""
        different = list(dict.fromkeys(questions))
        answers = self.in_batches(different, trunk)
        place = {question: n for n, question in enumerate(different)}
        return answers[[place[question] for question in questions]]

    def by_engine(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Ask the engine, which also shares common beginnings of the private parts."""
        asked: dict[int, list[int]] = {}
        for at, question in enumerate(questions):
            asked.setdefault(question.mind, []).append(at)
        minds = self._minds.numpy()
        for mind, places in asked.items():
            self.engine.ask_prompts(minds[mind], [questions[at].prompt for at in places])
        answers = np.empty((len(questions), len(self.engine.options)), np.float32)
        for mind, places in asked.items():
            prompts = [questions[at].prompt for at in places]
            answers[places] = self.engine.answer_prompts(minds[mind], prompts)
        return answers

    def _read(self, question: Question) -> Prefix:
        """Compute the shared prefix, in all layers of the bare base."""
        decoder = self.engine.decoder
        return decoder.run(decoder.embed([question.prompt.shared]), 0, decoder.depth)[1]

    def _below(self, questions: Sequence[Question], prefix: Prefix) -> dict[Text, torch.Tensor]:
        """Run the layers below the adapters once for every text of one length."""
        decoder, texts = self.engine.decoder, list(dict.fromkeys(q.private for q in questions))
        below: dict[Text, torch.Tensor] = {}
        for at in range(0, len(texts), ROWS):
            part = texts[at : at + ROWS]
            hidden, _ = decoder.run(decoder.embed(part), 0, self.engine.bank.first_layer, prefix)
            below |= zip(part, hidden, strict=True)
        return below

    def _batch(
        self,
        questions: Sequence[Question],
        prefix: Prefix,
        below: dict[Text, torch.Tensor] | None = None,
    ) -> NDArray[np.float32]:
        """Answer questions of equal length, over their lower layers where those are given."""
        decoder, bank = self.engine.decoder, self.engine.bank
        if below is None:
            first, hidden = 0, decoder.embed([question.private for question in questions])
        else:
            first = bank.first_layer
            hidden = torch.stack([below[question.private] for question in questions])
        with bank.mixed(self._minds[[question.mind for question in questions]]):
            hidden, _ = decoder.run(hidden, first, decoder.depth, prefix)
        logits = decoder.option_logits(hidden[:, -1], self.engine.options).numpy()
        return np.asarray(logits)


def climb(
    subject: Subject,
    population: Population,
    questions: Sequence[Question],
    few: int,
    progress: Callable[[str], None],
) -> list[Rung]:
    """Time every way of answering one morning.

    Parameters
    ----------
    questions
        One an agent.
    few
        Agents asked where each is computed alone; four times as many where they are batched.

    Returns
    -------
    list of Rung
        From the peers' way to all savings together.
    """
    ladder = Ladder(subject.fresh_engine(), population)
    agents = len(questions)
    progress(f"the peers' way, {few} of {agents:,} agents")
    rungs = [peer_rung(subject, questions[:few], agents)]
    steps: list[tuple[str, int, Callable[[Sequence[Question]], NDArray[np.float32]]]] = [
        ("own INT8 engine, whole prompts one by one", few, ladder.whole_prompts),
        ("and the prefix read once", few, ladder.with_prefix),
        ("and batches", 8 * few, ladder.in_batches),
        ("and every different question once", agents, ladder.distinct),
        ("and the trunk once a text", agents, lambda asked: ladder.distinct(asked, trunk=True)),
        ("the engine: and common beginnings once", agents, ladder.by_engine),
        ("the engine: the same morning again", agents, ladder.by_engine),
    ]
    ladder.in_batches(questions[:8])  # warms up
    for name, count, answer in steps:
        asked = questions[:count]
        progress(f"{name}, {len(asked):,} of {agents:,} agents")
        began = time.perf_counter()
        logits = answer(asked)
        seconds = (time.perf_counter() - began) * agents / len(asked)
        rungs.append(Rung(name, seconds, len(asked), logits))
    return rungs


def side_by_side(
    subject: Subject,
    population: Population,
    questions: Sequence[Question],
    few: int,
    turns: int,
    progress: Callable[[str], None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Time the peers' way and an engine that knows nothing in turns, so that both meet one machine.

    Parameters
    ----------
    questions
        One an agent.
    few
        Agents of a turn asked in the peers' way, others in each turn.

    Returns
    -------
    tuple
        Seconds of the whole morning, float64[turns] each: the peers', the engine's.
    """
    agents, peers, own = len(questions), [], []
    for turn in range(turns):
        progress(f"the peers' way and a fresh engine, turn {turn + 1} of {turns}")
        asked = [questions[(turn * few + at) % agents] for at in range(few)]
        peers.append(peer_rung(subject, asked, agents).seconds)
        ladder = Ladder(subject.fresh_engine(), population)
        began = time.perf_counter()
        ladder.by_engine(questions)
        own.append(time.perf_counter() - began)
    return np.array(peers), np.array(own)
