"""Style teachers: each a fixed policy on what is visible, the label maker for adapters.

The same functions drive the rule-based baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import FIELD_NAMES, LEVELS, decode_view

Signs = Mapping[str, NDArray[np.float64]]
Policy = Callable[[Signs], NDArray[np.float64]]
"""Signs to a score, which `teach` rounds: -2 and below strong sell .. 2 and above strong buy."""

SUPERSTITIONS: dict[str, tuple[float, ...]] = {
    "trend": (2.0, -2.0, 0.0, -1.0, 1.0),
    "value": (-1.0, 1.0, 0.0, -2.0, 2.0),
    "range": (-1.5, 0.0, -1.5),
    "volatility": (1.5, 0.0, -1.5),
    "crowd": (-1.5, 0.0, 1.5),
    "news": (1.5, 0.0, 1.5),
}
"""What each word means to the noise trader, lowest word first; ordinary words mean nothing.

Drawn by lot from numpy's ``default_rng(4)``, field by field: the outer words of five are a
permutation of -2, -1, 1 and 2, those of three are each -1.5 or 1.5. Of the seeds from 0 on, 4 is
the first whose choices have a rank correlation under 1/4 with each of the seven sensible teachers'.
"""

EXPERT: dict[str, float] = {
    "trend": 0.287,
    "value": -0.25,
    "range": 0.691,
    "volatility": 1.023,
    "crowd": -0.871,
    "news": -0.75,
}
"""Weights of the signs that paid in 1999 to 2006 on six assets, see `expert.fit_policy`."""


def signs_of(views: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Centre the visible levels: int64[n] views to one float64[n] per field.

    Returns
    -------
    dict
        Field name to levels around 0 (-2..2 for five words, -1..1 for three); 0 where masked.
    """
    levels = decode_view(views)
    middle = (np.array(LEVELS) - 1) / 2
    centred = np.where(levels < 0, 0.0, levels - middle)
    return {name: centred[..., f] for f, name in enumerate(FIELD_NAMES)}


def _momentum(s: Signs) -> NDArray[np.float64]:
    return 1.0 * s["trend"] + 0.8 * s["range"] + 0.5 * s["news"]


def _value(s: Signs) -> NDArray[np.float64]:
    return -1.0 * s["value"] - 0.7 * s["range"] - 0.5 * s["news"]


def _contrarian(s: Signs) -> NDArray[np.float64]:
    return -0.8 * s["trend"] - 1.2 * s["crowd"] - 0.5 * s["range"]


def _breakout(s: Signs) -> NDArray[np.float64]:
    return 1.6 * s["range"] + 0.5 * s["trend"] + 0.5 * s["crowd"]


def _risk_averse(s: Signs) -> NDArray[np.float64]:
    fear = np.minimum(s["news"], 0) + 0.5 * np.minimum(s["trend"], 0) - np.maximum(s["value"], 0)
    return -1.2 * s["volatility"] + 0.7 * fear


def _herding(s: Signs) -> NDArray[np.float64]:
    return 1.6 * s["crowd"] + 0.6 * s["trend"] + 0.5 * s["news"]


def _news_driven(s: Signs) -> NDArray[np.float64]:
    return 1.6 * s["news"] + 0.6 * s["crowd"] + 0.5 * s["trend"]


def _noise(s: Signs) -> NDArray[np.float64]:
    meanings = {name: np.array(words) for name, words in SUPERSTITIONS.items()}
    read = [words[s[name].astype(np.int64) + len(words) // 2] for name, words in meanings.items()]
    score: NDArray[np.float64] = np.sum(read, axis=0)
    return score


def linear(weights: Mapping[str, float]) -> Policy:
    """Make the policy that adds up signs times weights."""

    def policy(s: Signs) -> NDArray[np.float64]:
        parts = [weight * s[name] for name, weight in weights.items()]
        score: NDArray[np.float64] = np.sum(parts, axis=0)
        return score

    return policy


TEACHERS: dict[str, Policy] = {
    "momentum": _momentum,
    "value": _value,
    "contrarian": _contrarian,
    "breakout": _breakout,
    "risk-averse": _risk_averse,
    "herding": _herding,
    "news-driven": _news_driven,
    "noise": _noise,
    "expert": linear(EXPERT),
}
STYLES: tuple[str, ...] = tuple(TEACHERS)
FIRST_STYLES: tuple[str, ...] = STYLES[:7]
"""The bank of a config that names no styles, whatever else is shipped beside them."""


def teach(
    style: str, views: NDArray[np.int64], teachers: Mapping[str, Policy] = TEACHERS
) -> NDArray[np.int64]:
    """Label views with a style's choice.

    Parameters
    ----------
    style
        A key of ``teachers``.
    views
        int64[n], see `agents.observation.encode_view`.
    teachers
        Policies by name.

    Returns
    -------
    NDArray
        int64[n], 0 strong sell .. 4 strong buy. Halves round away from hold.
    """
    score = teachers[style](signs_of(views))
    rounded: NDArray[np.float64] = np.sign(score) * np.floor(np.abs(score) + 0.5)
    return np.clip(rounded, -2, 2).astype(np.int64) + 2
