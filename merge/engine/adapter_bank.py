"""A bank of PEFT LoRA adapters on one INT8 base, mixed differently in every row of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from evobourse.merge.engine.devices import execution_device
from evobourse.merge.engine.int8 import QuantizedLinear
from evobourse.merge.engine.low_rank import LowRankSite
from evobourse.merge.errors import AdapterError
from evobourse.merge.peft.folder import Adapter, block_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class AdapterBank:
    """K adapters attached to one INT8 model.

    Parameters
    ----------
    model
        A model after `merge.engine.int8.quantize_int8` or `merge.engine.loading.load_quantized`.
    adapters
        The adapters, in the order of the coefficients.
    blocks
        Number of equal groups of the adapted layers; each has its own coefficients.

    Raises
    ------
    AdapterError
        A factor's shape does not fit the base, or a module does not exist there.
    """

    def __init__(self, model: PreTrainedModel, adapters: tuple[Adapter, ...], blocks: int = 1):
        self.adapters = adapters
        self.blocks = blocks
        self.sites: list[LowRankSite] = []
        layers = model.model.layers
        places = sorted({place for adapter in adapters for place in adapter.factors})
        touched = sorted({layer for layer, _ in places})
        self.first_layer = touched[0] if touched else len(layers)
        for layer, module in places:
            linear = self._linear(layers, layer, module)
            downs, ups, owner = [], [], []
            for k, adapter in enumerate(adapters):
                if (layer, module) in adapter.factors:
                    down, up = adapter.factors[layer, module]
                    want = (linear.in_features, linear.out_features)
                    if (down.shape[1], up.shape[0]) != want:
                        raise AdapterError(
                            f"adapter {adapter.name!r}: layer {layer} {module} maps "
                            f"{down.shape[1]} to {up.shape[0]}, the base maps {want[0]} to "
                            f"{want[1]}; the adapter was trained on another model"
                        )
                    downs.append(down)
                    ups.append(up)
                    owner += [k] * down.shape[0]
            block = block_of(layer, touched, blocks)
            device = execution_device(linear)
            site = LowRankSite(
                torch.cat(downs).to(device),
                torch.cat(ups, 1).to(device),
                owner,
                block,
            )
            linear.site = site
            self.sites.append(site)

    def _linear(self, layers: nn.ModuleList, layer: int, module: str) -> QuantizedLinear:
        names = ", ".join(repr(a.name) for a in self.adapters if (layer, module) in a.factors)
        try:
            linear = layers[layer].get_submodule(module)
        except (IndexError, AttributeError):
            linear = None
        if not isinstance(linear, QuantizedLinear):
            raise AdapterError(f"adapter {names}: the base has no linear layer {layer} {module}")
        return linear

    @contextmanager
    def mixed(
        self, coefficients: torch.Tensor | None, cores: torch.Tensor | None = None
    ) -> Iterator[None]:
        """Mix per row until the end.

        Parameters
        ----------
        coefficients
            float [rows, blocks, K], or None for the bare base.
        cores
            float [rows, blocks, K, r, r], r the highest rank: what stands between each adapter's
            factors (the upper left corner where its rank is lower); None for the identity.
        """
        before = [(site.row_scale, site.row_core) for site in self.sites]
        for site in self.sites:
            site.activate(coefficients, cores)
        try:
            yield
        finally:
            for site, (scale, core) in zip(self.sites, before, strict=True):
                site.row_scale, site.row_core = scale, core
