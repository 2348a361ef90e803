"""The prospect-theory questionnaire put to minds: bare, told who they are, trained, and evolved.

The items, and agreement with people, are `fitness.behaviour.prospect`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import CUE, OPTIONS
from evobourse.fitness.behaviour.prospect import (
    QUESTION,
    SMALLEST_LEAN,
    Answers,
    ask,
    items,
)
from evobourse.merge.engine.prompt import Prompt

FRAMES = (
    "You choose between two options and answer with one letter, A or B.",
    "Two investments are offered to you. You answer with the letter of the one that you take.",
    "This is a questionnaire about choices under risk. There are no right answers. "
    "Answer with one letter.",
)
"""What stands before the question: a finding of one wording alone is the wording's."""


@dataclass(frozen=True)
class Respondent:
    """Who is asked.

    Attributes
    ----------
    kind
        Group in the table.
    name
        Within its kind.
    mind
        See `agents.personas.persona.Persona.mind`.
    profile
        What it is told of itself before the question; empty for nothing.
    weight
        Of its answers in its kind's.
    """

    kind: str
    name: str
    mind: NDArray[np.float32]
    profile: str = ""
    weight: float = 1.0


def question_respondents(
    engine: MindEngine, respondents: Sequence[Respondent], frame: str
) -> list[Answers]:
    """Ask everyone all items, both options first as often, in one wording.

    A respondent gives the probabilities of the letters A and B alone, at temperature 1.

    Returns
    -------
    list of Answers
        One a respondent, in order.
    """

    def prompt(respondent: Respondent, question: str, options: Sequence[str]) -> Prompt:
        told = f"{respondent.profile} {frame}".strip()
        offered = "".join(f"{o}: {text}." for o, text in zip(OPTIONS, options, strict=False))
        return engine.text_prompt(told, f" {question}{offered}{CUE}")

    for who in respondents:
        shown = [order for item in items() for order in (item.options, item.options[::-1])]
        engine.ask_prompts(who.mind, [prompt(who, QUESTION, options) for options in shown])

    def answer(who: Respondent) -> Answers:
        def respond(question: str, options: tuple[str, str]) -> tuple[float, float]:
            [logits] = engine.answer_prompts(who.mind, [prompt(who, question, options)])
            first = 1.0 / (1.0 + np.exp(float(logits[1]) - float(logits[0])))
            return first, 1.0 - first

        # Both orders are shown, and an answer holds no chance: the stream decides nothing.
        return ask(respond, np.random.default_rng(0))

    return [answer(who) for who in respondents]


def majority(answers: Sequence[Answers], weights: Sequence[float]) -> tuple[int, int, int]:
    """Count a group's weighted majorities that are people's, those of losses, and the ties."""
    lean = np.average([a.share_a for a in answers], axis=0, weights=weights) - 0.5
    people = np.array([item.people_a for item in items()]) - 0.5
    losses = np.array([item.domain == "negative" for item in items()])
    agreed = (np.abs(lean) > SMALLEST_LEAN) & (lean * people > 0)
    tied = np.abs(lean) <= SMALLEST_LEAN
    return int(agreed.sum()), int(agreed[losses].sum()), int(tied.sum())
