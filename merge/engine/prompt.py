"""A prompt in pieces: what everybody reads, where a mind begins, and steps of its own.

A token may be a vector.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.errors import ModelError


class SoftToken:
    """A vector that stands where a token's embedding would, known by its content.

    Parameters
    ----------
    vector
        float32[width], copied.
    """

    __slots__ = ("_hash", "key", "vector")

    def __init__(self, vector: NDArray[np.float32]):
        self.vector = np.array(vector, np.float32)
        self.vector.setflags(write=False)
        self.key = hashlib.sha256(self.vector.tobytes()).hexdigest()
        self._hash = hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftToken) and other.key == self.key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"SoftToken({self.key[:8]})"


Token = int | SoftToken
"""A token's id, or what stands in its place."""


@dataclass(frozen=True)
class Prompt:
    """Tokens of a prompt, cut where it is computed in pieces.

    The cuts are the prompt's own: what else is asked moves none of them, so that they cannot change
    the bits of an answer. Another cut of the same tokens is another prompt.

    Attributes
    ----------
    shared
        What comes first for everybody (rules, news of the day): computed once a base; once a mind
        where ordinary LoRA acts on it.
    opening
        The invocation, from where on a mind's adapters act: computed once a mind.
    steps
        The private part, in one step or more: prompts that begin with the same steps share them.

    Raises
    ------
    ModelError
        A piece has no token.
    """

    shared: tuple[Token, ...]
    opening: tuple[Token, ...]
    steps: tuple[tuple[Token, ...], ...]

    def __post_init__(self) -> None:
        if not all(self.path):
            raise ModelError(
                f"prompt: pieces of {', '.join(str(len(piece)) for piece in self.path)} tokens, "
                "expected at least 1 each; leave out what is empty"
            )

    @property
    def path(self) -> tuple[tuple[Token, ...], ...]:
        """The pieces in order."""
        return (self.shared, self.opening, *self.steps)

    @property
    def tokens(self) -> list[Token]:
        """The whole prompt, as a model without a memory reads it."""
        return [token for piece in self.path for token in piece]

    @property
    def names(self) -> list[int | str]:
        """The whole prompt in plain values that tell it from any other."""
        return [token if isinstance(token, int) else token.key for token in self.tokens]
