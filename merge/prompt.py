"""A prompt in pieces: what everybody reads, where a mind begins, and steps of its own.

Knows how a prompt is cut. Deliberately knows no text and no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from merge.errors import ModelError


@dataclass(frozen=True)
class Prompt:
    """Token ids of a prompt, cut where it is computed in pieces.

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

    shared: tuple[int, ...]
    opening: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not all(self.path):
            raise ModelError(
                f"prompt: pieces of {', '.join(str(len(piece)) for piece in self.path)} tokens, "
                "expected at least 1 each; leave out what is empty"
            )

    @property
    def path(self) -> tuple[tuple[int, ...], ...]:
        """The pieces in order."""
        return (self.shared, self.opening, *self.steps)

    @property
    def tokens(self) -> list[int]:
        """The whole prompt, as a model without a memory reads it."""
        return [token for piece in self.path for token in piece]


def cut(tokens: Sequence[int], length: int) -> tuple[tuple[int, ...], ...]:
    """Cut tokens into steps of a length, the last one with what is left."""
    return tuple(tuple(tokens[at : at + length]) for at in range(0, len(tokens), length))
