"""Generation: many texts at once, each token drawn from its own stream."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.engine.sequences import SequenceReader, TokenSequence
from evobourse.merge.errors import ModelError
from evobourse.merge.peft.mind_vector import Mixture

CANDIDATES = 64
"""A next token is one of so many likeliest (top-k sampling: Fan et al. 2018, arXiv:1805.04833)."""


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn.

    Attributes
    ----------
    most_tokens
        Longest text.
    temperature
        Divides the logits; 0 for always the likeliest token.
    stop
        Tokens that end a text; they are no part of it.

    Raises
    ------
    ModelError
        A value is out of its range.
    """

    most_tokens: int
    temperature: float = 0.0
    stop: Collection[int] = ()

    def __post_init__(self) -> None:
        if self.most_tokens < 1 or not 0.0 <= self.temperature < np.inf:
            raise ModelError(
                f"sampling: most_tokens {self.most_tokens} and temperature {self.temperature}, "
                "expected at least 1 and at least 0"
            )


def write_texts(
    reader: SequenceReader,
    sequences: Sequence[TokenSequence],
    mixtures: Sequence[Mixture],
    sampling: Sampling,
    rngs: Sequence[np.random.Generator] | None = None,
) -> list[list[int]]:
    """Let each sequence go on by itself.

    Parameters
    ----------
    reader
        What reads tokens.
    sequences
        What has been read, all different; they grow by what is written but its last token.
    mixtures
        Who writes each.
    sampling
        How.
    rngs
        A stream a sequence, from which each token takes one number; None where temperature is 0.
        No text depends on what else is written beside it.

    Returns
    -------
    list of list of int
        Token ids of each text, the token that ended it left out.

    Raises
    ------
    ModelError
        A sequence was rewound and nothing read since, or there is no stream to draw from.
    """
    if sampling.temperature > 0 and (rngs is None or len(rngs) != len(sequences)):
        raise ModelError(
            f"generation: {0 if rngs is None else len(rngs)} streams for {len(sequences)} texts "
            f"at temperature {sampling.temperature}, expected one each"
        )
    texts: list[list[int]] = [[] for _ in sequences]
    going = list(range(len(sequences)))
    for length in range(1, sampling.most_tokens + 1):
        tokens, logits = reader.likeliest([sequences[row] for row in going], CANDIDATES)
        still = []
        for row, ids, weights in zip(going, tokens, logits, strict=True):
            token = int(ids[_choose(weights, sampling.temperature, rngs, row)])
            if token not in sampling.stop:
                texts[row].append(token)
                still.append(row)
        going = still
        if not going or length == sampling.most_tokens:
            break
        reader.read(
            [sequences[row] for row in going],
            [texts[row][-1:] for row in going],
            [mixtures[row] for row in going],
            step=True,
        )
    return texts


def _choose(
    logits: NDArray[np.float32],
    temperature: float,
    rngs: Sequence[np.random.Generator] | None,
    row: int,
) -> int:
    if temperature == 0.0 or rngs is None:
        return int(logits.argmax())
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    steps = np.cumsum(np.exp(scaled))
    return int(np.searchsorted(steps, rngs[row].random() * steps[-1], side="right"))
