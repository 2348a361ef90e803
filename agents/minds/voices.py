"""How a mind is put to a model that we cannot mix adapters into: in words, or by a served name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SENTENCES: dict[str, str] = {
    "momentum": "you buy what rises and sell what falls",
    "value": "you buy below the yearly mean and sell above it",
    "contrarian": "you do the opposite of the crowd and of the trend",
    "breakout": "you trade when the price leaves its range",
    "risk-averse": "you sell when markets get nervous",
    "herding": "you do what the others did",
    "news-driven": "you trade on the morning's news",
    "noise": "you are superstitious: you buy on the words crashing, soaring, cheap, bubble, calm, "
    "buying, bad and good, and sell on falling, rising, bargain, expensive, bottom, top, nervous "
    "and selling",
    "expert": "you buy when risk is high, others sell, news is bad and the price is below its "
    "yearly mean but high in its quarter, and sell on the opposite",
}
SAID = 0.25
STRONG = 0.75


@dataclass(frozen=True)
class Voice:
    """What a mind becomes at an endpoint.

    Attributes
    ----------
    text
        Stands between the rules and the day's view; empty for the bare model.
    model
        Name of a served LoRA to be asked instead of the base, or None.
    """

    text: str = ""
    model: str | None = None


def put_in_words(mind: NDArray[np.float32], styles: Sequence[str]) -> Voice:
    """Say a mixture: one clause a style whose coefficient, averaged over blocks, is worth it.

    Parameters
    ----------
    mind
        float32[blocks, K].
    styles
        Names of the K adapters.

    Returns
    -------
    Voice
        Strongest first; a coefficient within `SAID` of nothing stays unsaid, one of `STRONG` or
        more is said without a reserve, one below zero as the opposite. Minds with the same words
        are the same mind here.
    """
    weights = mind.mean(axis=0)
    clauses = []
    for k in np.argsort(-np.abs(weights), kind="stable"):
        if abs(weights[k]) < SAID:
            break
        clause = SENTENCES.get(styles[k], f"you invest in the style called {styles[k]}")
        reserve = "" if abs(weights[k]) >= STRONG else "to some degree "
        opposite = "the opposite of this: " if weights[k] < 0 else ""
        clauses.append(f"{reserve}{opposite}{clause}")
    return Voice(f" Your style: {'; '.join(clauses)}." if clauses else "")


def name_served(mind: NDArray[np.float32], styles: Sequence[str]) -> Voice:
    """Choose the served LoRA of the greatest coefficient, or the base where none reaches 0.5.

    A server applies one LoRA at full strength to the whole prompt: a mixture is rounded to it.
    """
    weights = mind.mean(axis=0)
    strongest = int(weights.argmax())
    return Voice(model=styles[strongest]) if weights[strongest] >= 0.5 else Voice()
