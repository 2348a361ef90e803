"""Style teachers: each a fixed policy on what is visible, the label maker for adapters.

Knows seven investment styles as functions of observation levels. Deliberately knows nothing
of models or markets; the same functions drive the rule-based baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from agents.observation import FIELD_NAMES, LEVELS, decode_view

Signs = Mapping[str, NDArray[np.float64]]


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


TEACHERS: dict[str, Callable[[Signs], NDArray[np.float64]]] = {
    "momentum": _momentum,
    "value": _value,
    "contrarian": _contrarian,
    "breakout": _breakout,
    "risk-averse": _risk_averse,
    "herding": _herding,
    "news-driven": _news_driven,
}
STYLES: tuple[str, ...] = tuple(TEACHERS)


def teach(style: str, views: NDArray[np.int64]) -> NDArray[np.int64]:
    """Label views with a style's choice.

    Parameters
    ----------
    style
        A key of `TEACHERS`.
    views
        int64[n], see `agents.observation.encode_view`.

    Returns
    -------
    NDArray
        int64[n], 0 strong sell .. 4 strong buy. Halves round away from hold.
    """
    score = TEACHERS[style](signs_of(views))
    rounded = np.sign(score) * np.floor(np.abs(score) + 0.5)
    return np.clip(rounded, -2, 2).astype(np.int64) + 2
