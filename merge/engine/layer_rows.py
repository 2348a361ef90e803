"""Layers as transformers runs them, and which tokens each computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from evobourse.merge.engine.devices import execution_device
from evobourse.merge.engine.parts import Prefix, Slot
from evobourse.merge.engine.shared_prefix_attention import Layout

LEAST_TOKENS = 16
"""On a processor a bf16 product of a single row is summed in another order than that of two."""


class _OwnKeys:
    """What a decoder layer asks of a transformers cache: here it only keeps the new part."""

    pair: tuple[torch.Tensor, torch.Tensor]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.pair = (keys, values)
        return keys, values


def run_in_transformers(
    model: Any,
    slots: Sequence[Slot],
    first: int,
    hidden: torch.Tensor,
    layout: Layout,
    known: Mapping[int, torch.Tensor] | None,
    read: torch.Tensor | None,
) -> tuple[torch.Tensor, Prefix]:
    """Run a pass through slots, the first of them at a place, see `decoder.Decoder.run_pass`."""
    tokens = len(hidden)
    wanted = tokens if read is None else len(read)
    fill = max(0, LEAST_TOKENS - tokens)
    hidden = torch.cat([hidden, hidden[:1].expand(fill, -1)])[:, None]
    if read is not None:
        read = functional.pad(read, (0, max(0, LEAST_TOKENS - wanted)))
    positions = functional.pad(layout.positions, (0, fill))[:, None]
    angles = model.model.rotary_emb(hidden, position_ids=positions)
    own = {}
    with rows_of(functional.pad(layout.row_of, (0, fill)), [slot.layer for slot in slots]):
        for place, slot in enumerate(slots, first):
            cache, here = _OwnKeys(), execution_device(slot.layer)
            hidden = hidden if slot.scale == 1 else hidden * slot.scale
            some = None if read is None or slot is not slots[-1] else read.to(here)
            with read_from(slot.layer, hidden, some) as entering:
                hidden = slot.layer(
                    entering,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=angles,
                    layout=layout.to(here),
                    known=None if known is None else known[place].to(here),
                )
            pair = torch.stack([new[:tokens, :, 0] for new in cache.pair])
            own[place] = pair.transpose(1, 2)
    if read is not None and not own:
        hidden = hidden[read]
    return hidden[:wanted, 0], Prefix(tokens, own)


def adapter_sites(layer: nn.Module) -> list[Any]:
    """List where adapters join a layer."""
    return [site for part in layer.modules() if (site := getattr(part, "site", None))]


@contextmanager
def rows_of(row_of: torch.Tensor, layers: Iterable[nn.Module]) -> Iterator[None]:
    """Let the adapters of layers mix each token as its row says, int64[tokens], until the end."""
    sites = [site for layer in layers for site in adapter_sites(layer)]
    for site in sites:
        site.rows = row_of
    try:
        yield
    finally:
        for site in sites:
            site.rows = None


@contextmanager
def read_from(
    layer: nn.Module, hidden: torch.Tensor, read: torch.Tensor | None
) -> Iterator[torch.Tensor]:
    """Let a layer attend to all tokens and go on with those that are read, until the end.

    Yields
    ------
    torch.Tensor
        What the layer is to be called with.
    """
    if read is None:
        yield hidden
        return

    def attend_to_all(_: nn.Module, inputs: Any) -> Any:
        return (hidden.to(inputs[0].device),)

    def go_on(_: nn.Module, inputs: Any) -> Any:
        for site in adapter_sites(layer):
            site.rows = site.rows[read.to(site.rows.device)]
        return (inputs[0][read],)

    hooks = [
        layer.get_submodule("input_layernorm").register_forward_pre_hook(attend_to_all),
        layer.get_submodule("self_attn.o_proj").register_forward_pre_hook(go_on),
    ]
    try:
        yield hidden[read.to(hidden.device)]
    finally:
        for hook in hooks:
            hook.remove()
