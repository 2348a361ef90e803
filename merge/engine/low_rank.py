"""One linear layer's low-rank updates, a mixture in each row."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from evobourse.merge.engine.exact.products import Activations, Matrix, multiply, quantize
from evobourse.merge.engine.exact.tiles import GROUP
from evobourse.merge.engine.exact.weights import matrix_of, pack_groups, to_matrix


class LowRankSite:
    """All adapters' factors at one linear layer, concatenated along the rank.

    Parameters
    ----------
    down, up
        float [ranks, in] and [out, ranks].
    owner
        Which adapter each rank belongs to.
    block
        Of the layer, whose coefficients count here.
    """

    def __init__(self, down: torch.Tensor, up: torch.Tensor, owner: Iterable[int], block: int):
        owners = [int(k) for k in owner]
        device = down.device
        self.down = down.to(torch.bfloat16)
        self.up = up.to(torch.bfloat16)
        self.exact: tuple[Matrix, Matrix] | None = None
        if device.type == "cpu":
            # Each rank's column of B is brought to 127 steps of 1/128, and what it had is a factor
            # on its inner value: no adapter's rounding depends on the others of the bank.
            loudness = up.float().abs().amax(dim=0).clamp_min(1e-30) * (128 / 127)
            whole = torch.round(up.float() / loudness * 128).clamp(-127, 127).to(torch.int8)
            steps = torch.full((len(up), -(-len(owners) // GROUP)), 1 / 128, dtype=torch.bfloat16)
            columns = matrix_of(*pack_groups(whole, steps), len(owners), len(up))
            self.loudness = loudness.numpy()
            self.exact = to_matrix(down.float()), columns
        self.owner = torch.tensor(
            owners, device=device
        )  # [ranks], which adapter each rank belongs to
        self.block = block
        self.row_scale: torch.Tensor | None = None  # [rows, 1, ranks] while a mixture is active
        self.row_core: torch.Tensor | None = None  # [rows, 1, ranks, r] where it has cores
        self.rows: torch.Tensor | None = None  # which rows a part of the batch has; None: all
        first = [owners.index(k) for k in owners]  # where each rank's adapter begins
        self._first = torch.tensor(first, device=device)
        self._within = torch.arange(len(owners), device=device) - self._first
        ranks = [owners.count(k) for k in owners]  # of each rank's adapter
        self._ranks = torch.tensor(ranks, device=device)
        self._widest = max(ranks)

    def activate(self, coefficients: torch.Tensor | None, cores: torch.Tensor | None) -> None:
        """Set what `AdapterBank.mixed` was given."""
        self.row_scale = self.row_core = None
        if coefficients is not None:
            coefficients = coefficients.to(self.owner.device)
            self.row_scale = coefficients[:, self.block, :][:, None, self.owner]
            if cores is not None:
                cores = cores.to(self.owner.device)
                self.row_core = cores[:, self.block][:, self.owner, self._within][:, None]

    def add(self, out: torch.Tensor, narrow: torch.Tensor) -> torch.Tensor:
        """Add ``sum_k c[row, k] B_k C_k A_k x`` to ``out`` fp32[rows, tokens, out], in place.

        A fresh result would cost more than the products: on a processor, new memory is written
        twice.
        """
        if self.row_scale is None:
            return out
        inner = functional.linear(narrow, self.down)
        if self.row_core is not None:
            inner = self._cored(inner.float(), self._of_part(self.row_core))
        scaled = inner * self._of_part(self.row_scale)  # the product is taken in fp32
        return out.add_(functional.linear(scaled.to(torch.bfloat16), self.up))

    def add_exactly(
        self,
        x: Activations,
        out: NDArray[np.float32],
        column: int,
        row_of: NDArray[np.int64],
    ) -> None:
        """Add the same to columns of ``out`` float32[rows, ...] by exact products.

        Parameters
        ----------
        x
            The layer's input.
        out, column
            Where the layer's output stands.
        row_of
            int64[rows], which of the active mixtures is each row's.
        """
        if self.row_scale is None or self.exact is None:
            return
        down, up = self.exact
        inner = np.empty((len(x.values), down.outputs), np.float32)
        multiply(x, down, inner)
        if self.row_core is not None:
            cores = self.row_core[:, 0]
            own = cores if len(cores) == 1 else cores[row_of]
            inner = self._cored(torch.from_numpy(inner), own).numpy()
        factors = self.row_scale[:, 0].numpy() * self.loudness
        with np.errstate(over="ignore", invalid="ignore"):  # logits are looked at, and say whose
            inner *= factors if len(factors) == 1 else factors[row_of]
        multiply(quantize(inner), up, out, column, add=True)

    def _of_part(self, values: torch.Tensor) -> torch.Tensor:
        """Take the rows that are in the batch, where they differ."""
        if self.rows is None or len(values) == 1:
            return values
        return values[self.rows.to(values.device)]

    def _cored(self, inner: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
        """Multiply each adapter's ranks by its core, per element: same bits in every batch."""
        mixed = torch.zeros_like(inner)
        for column in range(self._widest):
            partner = self._first + torch.clamp(self._ranks - 1, max=column)
            share = core[..., column] * (column < self._ranks)
            mixed = mixed + inner[..., partner] * share
        return mixed
