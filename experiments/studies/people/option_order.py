"""How much of a forced choice is the letter's doing, and what each correction leaves of that.

The correction that the market uses stands in `agents.minds.choices`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import INVOCATION, TENDENCIES, render_rules, render_view

_COUNT = len(TENDENCIES)
_ROTATIONS = tuple(tuple(np.roll(np.arange(_COUNT), -by).tolist()) for by in range(_COUNT))
ORDERS = (*_ROTATIONS, *(order[::-1] for order in _ROTATIONS))
"""The tendency that each letter stands for, 0 strong sell .. 4 strong buy; the usual order first.
Each half gives every tendency every letter once."""

AVERAGED = "mean over five orders"


@dataclass(frozen=True)
class OrderBias:
    """What the order of options does to one mind under one correction.

    Attributes
    ----------
    letters
        float64[5], mean probability of each letter, over views and orders; without bias .2 each,
        NaN where letters no longer show.
    between
        Total variation between the tendencies that two orders give for one view, mean over
        pairs of orders and views: 0 where order does nothing.
    same_content
        Correlation over views of the mean tendency under two orders, mean over pairs: 1 where
        views decide, 0 where what is left of the choice is no answer to what is seen. NaN where
        an order's mean tendency is the same in all views. Answers that follow the letters alone,
        whatever these stand for, have -1/9: over the ten orders their tendencies cancel.
    lean
        Mean probability of the two buys minus the two sells in the usual order (after averaging:
        in the mean of the five that begin with it).
    """

    letters: NDArray[np.float64]
    between: float
    same_content: float
    lean: float


def ask_in_orders(
    engine: MindEngine, mind: NDArray[np.float32], views: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Put views to a mind under every order: logits by tendency, float64[10, n, 5]."""
    words = [render_view(v).removeprefix(INVOCATION) for v in views.tolist()]
    rules = [render_rules([TENDENCIES[t] for t in order]) for order in ORDERS]
    prompts = [[engine.text_prompt(shared, step) for step in words] for shared in rules]
    for some in prompts:
        engine.ask_prompts(mind, some)
    return to_tendencies(np.array([engine.answer_prompts(mind, some) for some in prompts]))


def to_tendencies(letters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sort what letters have, [10, n, 5], by the tendencies that they stand for."""
    out = np.empty(letters.shape)
    for k, order in enumerate(ORDERS):
        out[k][:, list(order)] = letters[k]
    return out


Correction = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From logits float64[10, n, 5] and those of a view that shows nothing, float64[10, 1, 5], to
corrected logits."""


def _without_lean(logits: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = logits.mean(axis=1, keepdims=True)
    return logits - (mean - mean[:, :, ::-1]) / 2


CORRECTIONS: dict[str, Correction] = {
    "none": lambda logits, _: logits,
    "empty view's logits subtracted": lambda logits, empty: logits - empty,
    "mean over views subtracted": lambda logits, _: logits - logits.mean(axis=1, keepdims=True),
    "its antisymmetric part alone, as in the market": _without_lean,
}


def measure_corrections(
    logits: NDArray[np.float64], empty: NDArray[np.float64]
) -> dict[str, OrderBias]:
    """Measure the order's doing before and after every correction, and after averaging orders.

    Parameters
    ----------
    logits, empty
        By tendency, float64[10, n, 5] of views and float64[10, 1, 5] of the one that shows nothing.
    """
    found = {}
    for name, correct in CORRECTIONS.items():
        chosen = softmax(correct(logits, empty), axis=2)
        found[name] = measure_bias(chosen, ORDERS)
    halves = softmax(logits, axis=2).reshape(2, _COUNT, *logits.shape[1:]).mean(axis=1)
    found[AVERAGED] = measure_bias(halves, None)
    return found


def measure_bias(chosen: NDArray[np.float64], orders: Sequence[Sequence[int]] | None) -> OrderBias:
    """Measure probabilities by tendency float64[R, n, 5] of R orders.

    ``orders`` None: each row is a mean in which letters no longer show.
    """
    pairs = list(combinations(chosen, 2))
    apart = [0.5 * np.abs(a - b).sum(axis=1).mean() for a, b in pairs]
    steps = np.arange(_COUNT) - _COUNT // 2
    alike = [_correlation(a @ steps, b @ steps) for a, b in pairs]
    lean = chosen[0, :, 3:].sum(axis=1) - chosen[0, :, :2].sum(axis=1)
    letters = np.full(_COUNT, np.nan)
    if orders is not None:
        by_letter = [row[:, list(order)] for row, order in zip(chosen, orders, strict=True)]
        letters = np.mean(by_letter, axis=(0, 1))
    return OrderBias(letters, float(np.mean(apart)), float(np.mean(alike)), float(lean.mean()))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
