"""A bank of PEFT LoRA adapters on one INT8 base, mixed differently in every row of a batch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from evobourse.merge.engine.int8 import QuantizedLinear
from evobourse.merge.engine.placement import execution_device
from evobourse.merge.errors import AdapterError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_KEY = re.compile(r"\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")


@dataclass(frozen=True)
class Adapter:
    """One LoRA adapter as read from its PEFT folder.

    Attributes
    ----------
    name
        The folder's name.
    factors
        ``(layer, module) -> (A [rank, in], B [out, rank])``, B already times alpha / rank.
    invocation_tokens
        Token ids that switch an activated adapter on, None for ordinary LoRA.
    content_hash
        sha256 of the weights and the config.
    """

    name: str
    factors: Mapping[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]
    invocation_tokens: tuple[int, ...] | None
    content_hash: str


def read_adapter(folder: Path) -> Adapter:
    """Read a PEFT LoRA folder.

    Raises
    ------
    AdapterError
        Files are missing or unreadable, the adapter is not LoRA, or carries extra weights.
    """
    config_file, weight_file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    try:
        config = json.loads(config_file.read_text())
        weights = load_file(weight_file)
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise AdapterError(f"adapter {folder}: cannot be read ({reason})") from error
    extras = [key for key in ("use_dora", "modules_to_save", "alpha_pattern") if config.get(key)]
    if config.get("peft_type") != "LORA" or "lora_alpha" not in config or extras:
        raise AdapterError(
            f"adapter {folder}: only plain LoRA is supported, and {config_file.name} says "
            f"{', '.join(extras) or 'peft_type ' + repr(config.get('peft_type'))}"
        )
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for key, tensor in weights.items():
        match = _KEY.search(key)
        if match is None:
            raise AdapterError(f"adapter {folder}: unexpected weight {key!r} in {weight_file.name}")
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor.float()
    factors = {}
    for (layer, module), pair in sorted(halves.items()):
        if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
            raise AdapterError(f"adapter {folder}: layer {layer} {module}: A and B do not match")
        rank = pair["A"].shape[0]
        scaling = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
        factors[layer, module] = (pair["A"], pair["B"] * scaling)
    tokens = config.get("alora_invocation_tokens")
    digest = hashlib.sha256(weight_file.read_bytes() + config_file.read_bytes()).hexdigest()
    return Adapter(folder.name, factors, tuple(tokens) if tokens else None, digest)


def read_rank(folder: Path) -> int:
    """Read an adapter's highest rank from its config alone.

    Raises
    ------
    AdapterError
        The config is missing or unreadable.
    """
    file = folder / "adapter_config.json"
    try:
        config = json.loads(file.read_text())
        return max(map(int, (config["r"], *(config.get("rank_pattern") or {}).values())))
    except (OSError, ValueError, KeyError) as error:
        raise AdapterError(f"adapter {folder}: {file.name} tells no rank ({error!r})") from error


def block_of(layer: int, touched: Sequence[int], blocks: int) -> int:
    """Say which of a number of equal blocks of the adapted layers a layer belongs to."""
    return touched.index(layer) * blocks // len(touched)


class LowRankSite:
    """All adapters' factors at one linear layer, concatenated along the rank."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor, owner: Iterable[int], block: int):
        owners = [int(k) for k in owner]
        device = down.device
        self.down = down.to(torch.bfloat16)  # [ranks, in]
        self.up = up.to(torch.bfloat16)  # [out, ranks]
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
