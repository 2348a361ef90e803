"""A decoder's output head: logits of a few tokens, and which of a vocabulary are likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evobourse.merge.engine.exact.architecture import Architecture
from evobourse.merge.engine.exact.arithmetic import multiply_rows, normalize, soften
from evobourse.merge.engine.exact.products import Matrix, multiply, quantize
from evobourse.merge.engine.exact.weights import to_matrix

Array = NDArray[np.float32]
Tokens = NDArray[np.int64]


class Head:
    """The last norm and the output head, in exact arithmetic.

    Parameters
    ----------
    architecture
        Which scales and caps logits.
    norm, head
        transformers' modules; their weights are read at each use.
    """

    def __init__(self, architecture: Architecture, norm: nn.Module, head: nn.Module):
        self.architecture, self.norm, self.head = architecture, norm, head
        self._vocabulary: Matrix | None = None

    def option_logits(self, states: Array, options: Sequence[int]) -> Array:
        """Return logits float32[n, options] of last-layer states float32[n, width]."""
        return self._logits(self._normed(states), self._rows(np.array(options))[None])

    def likeliest(self, states: Array, count: int) -> tuple[Tokens, Array]:
        """Return the likeliest tokens int64[n, count], ascending, and their logits.

        The head in INT8, rounded at the first call, says which.
        """
        normed = self._normed(states)
        if self._vocabulary is None:
            self._vocabulary = to_matrix(self.head.get_parameter("weight"))
        rough = np.empty((len(normed), self._vocabulary.outputs), np.float32)
        multiply(quantize(normed), self._vocabulary, rough)
        tokens = highest(rough, count)
        return tokens, self._logits(normed, self._rows(tokens))

    def _normed(self, states: Array) -> Array:
        return normalize(np.ascontiguousarray(states), self.architecture.norm_of(self.norm))

    def _rows(self, tokens: Tokens) -> Array:
        weight = self.head.get_parameter("weight")
        rows: Array = weight[torch.from_numpy(tokens)].detach().float().numpy()
        return rows

    def _logits(self, normed: Array, rows: Array) -> Array:
        logits = multiply_rows(normed, rows) / np.float32(self.architecture.logit_scale)
        cap = self.architecture.logit_cap
        return logits if cap is None else soften(logits, cap)


def highest(rows: Array, count: int) -> Tokens:
    """Return the places of each row's highest values, int64[n, count], ascending.

    Of equal ones the first are taken.
    """
    found = np.empty((len(rows), count), np.int64)
    for row, own in zip(rows, found, strict=True):
        least = np.partition(row, -count)[-count]
        above = np.flatnonzero(row > least)
        equal = np.flatnonzero(row == least)[: count - len(above)]
        own[:] = np.sort(np.concatenate([above, equal]))
    return found
