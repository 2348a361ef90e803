"""The three encodings and what they have in common: rules, a window's part, the words and cue.

How soft tokens are made stands in `agents.encodings.projector`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.encodings.window import (
    PERIODS,
    WINDOW,
    other_titles,
    other_words,
    shows_window,
)
from evobourse.agents.observation import CUE, INVOCATION, render_choices, render_rules, render_view

EncodingName = Literal["words", "digits", "patches"]
BIN = 0.1
MIDDLE = 50
PATCH = 5
SOFT = -1
"""Stands for a soft token among token ids."""


@dataclass(frozen=True)
class Encoding:
    """What a masked observation becomes for a model.

    Attributes
    ----------
    name
        ``words``: one word a visible sign, as `agents.observation` has them. ``digits``: the
        window's returns as integers of two digits, each digit a token, as in LLMTime (Gruver et
        al. 2023, arXiv 2310.07820), in uniform bins over scaled values as in Chronos (Ansari et al.
        2024, arXiv 2403.07815). ``patches``: `PATCH` returns at a time become a soft token, through
        a projector that is trained with the adapter.
    """

    name: EncodingName = "words"

    @property
    def numeric(self) -> bool:
        """Whether a window stands for the price signs."""
        return self.name != "words"

    @property
    def soft_tokens(self) -> int:
        """Count the soft tokens of a window."""
        return WINDOW // PATCH if self.name == "patches" else 0

    @property
    def rules(self) -> str:
        """The shared prefix of every prompt."""
        if not self.numeric:
            return render_rules()
        spans = ", ".join(f"{PERIODS.count(n)} of {n} days" for n in dict.fromkeys(PERIODS))
        way = ", two digits a move, 50 for none" if self.name == "digits" else ""
        return (
            "You are an investor in a market for one stock. Every morning you see some of these "
            f"signs: the price's moves of the last year, oldest first ({spans}{way}); "
            f"{other_titles()}. {render_choices()}"
        )

    def window_part(
        self, tokenize: Callable[[str], list[int]], view: int, window: NDArray[np.float32] | None
    ) -> list[int]:
        """Return the tokens of a window, `SOFT` for soft ones; none where the view masks it."""
        if not self.numeric or window is None or not shows_window(view):
            return []
        if self.name == "patches":
            return [SOFT] * self.soft_tokens
        return tokenize("".join(f"{bin:02d}" for bin in to_bins(window)))

    def words_part(self, tokenize: Callable[[str], list[int]], view: int) -> list[int]:
        """Return the tokens of the visible words and of the cue."""
        if self.numeric:
            return tokenize(other_words(view) + CUE)
        return tokenize(render_view(view).removeprefix(INVOCATION))


ENCODINGS: tuple[EncodingName, ...] = ("words", "digits", "patches")
WORDS = Encoding()


def to_bins(window: Sequence[float] | NDArray[np.float32]) -> NDArray[np.int64]:
    """Put scaled returns into bins of width `BIN` around 0, clipped: int64[n] in 1..99."""
    bins = np.rint(np.asarray(window, np.float64) / BIN).astype(np.int64) + MIDDLE
    return np.clip(bins, 1, 2 * MIDDLE - 1)


def from_bins(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the middles of bins: float64[n]."""
    return (np.asarray(bins, np.float64) - MIDDLE) * BIN
