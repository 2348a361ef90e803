"""Which tokens a decoder layer computes: whose adapters mix each, which go on behind attention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


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
