"""What minds choose after a sentence of news: the rules, the sentence, the words of the day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import INVOCATION, TENDENCIES, render_rules, render_view
from evobourse.merge.peft.mind_vector import Mixture

TOGETHER = 16
"""Prompts of a mind that are asked at once; no bits depend on it, but how much is remembered."""


def render_news(text: str) -> str:
    """Write a sentence as the line that it is on the page of an agent who deliberates.

    No sentence leaves no line.
    """
    return f"\nNews: {text}" if text else ""


def read_news(
    engine: MindEngine,
    minds: Sequence[Mixture],
    texts: Sequence[str],
    views: Sequence[int],
) -> NDArray[np.float64]:
    """Ask minds about sentences, each beside what is seen on its day.

    The sentence stands behind the rules and before the invocation, as on the page of an agent who
    deliberates: the base reads it, and every mind's adapters act behind it, in the form that they
    were trained for. With an empty text a prompt is that of a choice at a glance.

    Parameters
    ----------
    engine
        The base and its adapters.
    minds
        M minds, see `agents.personas.persona.Persona.mind`.
    texts, views
        N of each; a view as `agents.observation.encode_view` makes it, 0 for one that shows
        nothing.

    Returns
    -------
    NDArray
        Option logits float64[M, N, 5], temperature-free.
    """
    rules = render_rules()
    prompts = [
        engine.text_prompt(rules + render_news(text), render_view(view).removeprefix(INVOCATION))
        for text, view in zip(texts, views, strict=True)
    ]
    logits = np.zeros((len(minds), len(prompts), len(TENDENCIES)))
    # A few pages at a time and all minds at once, so that a page's keys and values are computed
    # once and need not be kept.
    for at in range(0, len(prompts), TOGETHER):
        part = prompts[at : at + TOGETHER]
        for mind in minds:
            engine.ask_prompts(mind, part)
        for row, mind in enumerate(minds):
            logits[row, at : at + TOGETHER] = engine.answer_prompts(mind, part)
    return logits


def expected_tendency(logits: NDArray[np.float64], temperature: ArrayLike) -> NDArray[np.float64]:
    """Return the mean of the choice that logits float64[..., 5] mean, -2 strong sell .. 2.

    The temperature, a number or an array that broadcasts to the result, divides the logits.
    """
    scaled = logits / np.asarray(temperature, np.float64)[..., None]
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(weights @ np.arange(-2.0, 3.0) / weights.sum(axis=-1))
