"""A tokenizer as prompts use it: its own ids for a whole text, cut where a prompt is cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]
REMEMBERED = 4096
"""Texts whose ids are kept: pages grow piece by piece, and their beginnings come again."""


class PromptTokens:
    """Token ids of texts and of their pieces.

    The ids of a text are the tokenizer's own for the whole of it, with what its post-processor puts
    before (a beginning of sequence), and without what it puts behind: a prompt goes on. Tokens
    may reach over the end of a piece (``.`` and a line end are one in many vocabularies): such a
    token belongs to the later piece, so that what stands before is the same whatever follows.

    Parameters
    ----------
    tokenizer
        Of a base.

    Attributes
    ----------
    start
        What its post-processor puts before every text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self._tokenizer = tokenizer
        some = tokenizer("a", return_special_tokens_mask=True)
        added = sum(1 for _ in takewhile(bool, some.special_tokens_mask))
        self.start: Ids = tuple(some.input_ids[:added])
        self.whole = lru_cache(REMEMBERED)(self._whole)
        self._bare = lru_cache(REMEMBERED)(self._without_ends)

    def cut(self, *pieces: str) -> list[Ids]:
        """Return the ids of texts that stand one after the other, piece by piece.

        Together they are the ids of the whole text. A piece has none where a token takes all of
        it along.
        """
        ids = self.whole("".join(pieces))
        alone = [self.whole(pieces[0]), *map(self._bare, pieces[1:])]
        if sum(alone, ()) == ids:  # as byte-level vocabularies have it, mostly
            return alone
        texts = list(accumulate(pieces))[:-1]
        ends = accumulate((_common(self.whole(text), ids) for text in texts), max)
        return [ids[start:stop] for start, stop in pairwise([0, *ends, len(ids)])]

    def after(self, before: str, text: str) -> Ids:
        """Return the ids of a text where it stands behind another."""
        return self.cut(before, text)[1]

    def _whole(self, text: str) -> Ids:
        encoded = self._tokenizer(text, return_special_tokens_mask=True)
        ids, added = encoded.input_ids, encoded.special_tokens_mask
        behind = sum(1 for _ in takewhile(bool, reversed(added[len(self.start) :])))
        return tuple(ids[: len(ids) - behind])

    def _without_ends(self, text: str) -> Ids:
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Count the ids with which both begin."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
