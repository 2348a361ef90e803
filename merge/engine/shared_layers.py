"""Quantised parts of several sources, made once: what any number of layer stacks run on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.engine.parts import Parts, Slot
from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.recipe import HEAD, State, depth_of, is_tied

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SourceParts:
    """A source's layers in INT8 over a base's: what both share is one module, never a copy.

    Adapters of the base act on the layers of the same number, whichever source lends them
    (docs/decisions/048).

    Parameters
    ----------
    name
        For messages.
    model
        The base after `merge.engine.int8.quantize_int8`, with its adapters attached.
    base
        Its float32 state dict, which ``model`` holds whenever a stack runs.
    state
        The source's; tensors that are the base's own objects are shared.
    """

    def __init__(self, name: str, model: PreTrainedModel, base: State, state: State):
        self.name = name
        self.state = state
        self._model, self._base = model, base
        self._layers: dict[int, nn.Module] = {}

    @cached_property
    def depth(self) -> int:
        """Count the source's layers."""
        whole = self.state is self._base
        return len(self._model.model.layers) if whole else depth_of(self.state)

    @cached_property
    def tied(self) -> bool:
        """Say whether the source's head is its embedding."""
        return is_tied(self.state)

    def layer(self, number: int) -> nn.Module:
        """Return a decoder layer, quantised at its first use.

        Raises
        ------
        RecipeError
            There is no such layer, or it is of another shape than the base's.
        """
        if number not in self._layers:
            if not 0 <= number < self.depth:
                raise RecipeError(
                    f"stack.layers: {self.name!r} has no layer {number}; it has {self.depth}"
                )
            layers = self._model.model.layers
            like = min(number, len(layers) - 1)
            made = self._own(layers[like], f"model.layers.{number}.", f"model.layers.{like}.")
            self._layers[number] = made
        return self._layers[number]

    def part(self, path: str) -> nn.Module:
        """Return a module above or below the layers, by its path in the model.

        Raises
        ------
        RecipeError
            It is of another shape than the base's.
        """
        return self._own(self._model.get_submodule(path), f"{path}.", f"{path}.")

    def _own(self, module: nn.Module, start: str, like: str) -> nn.Module:
        """Return a base's module with the source's tensors in it, itself where all are shared."""
        found = {key for key in self.state if key.startswith(start)}
        wanted = {key for key in self._base if key.startswith(like)}
        if {key.removeprefix(start) for key in found} != {key.removeprefix(like) for key in wanted}:
            raise RecipeError(
                f"stack: {self.name!r} has other tensors in {start[:-1]} than the base; stack "
                "models of one architecture"
            )
        if all(self.state[key] is self._base.get(key) for key in found):
            return module
        if isinstance(module, Int8Linear):
            return self._quantise(module, start, adapted=start == like)
        fresh = copy.copy(module)
        fresh._modules = {
            name: self._own(child, f"{start}{name}.", f"{like}{name}.")
            for name, child in module.named_children()
        }
        fresh._parameters = module._parameters | {
            name: nn.Parameter(
                self._fitting(start + name, tuple(tensor.shape), tensor.device), requires_grad=False
            )
            for name, tensor in module.named_parameters(recurse=False)
        }
        return fresh

    def _quantise(self, like: Int8Linear, start: str, adapted: bool) -> Int8Linear:
        linear = nn.Linear(
            like.in_features, like.out_features, like.bias is not None, device="meta"
        )
        device, shape = like.weight.device, (like.out_features, like.in_features)
        linear.weight = nn.Parameter(self._fitting(f"{start}weight", shape, device), False)
        if like.bias is not None:
            linear.bias = nn.Parameter(self._fitting(f"{start}bias", shape[:1], device), False)
        made = Int8Linear(linear, like.compiled, like.packed)
        made.site = like.site if adapted else None
        return made

    def _fitting(self, key: str, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        tensor = self.state[key]
        if tensor.shape != shape:
            raise RecipeError(
                f"stack: {key} of {self.name!r} is {tuple(tensor.shape)}, the base's "
                f"{shape}; stack models of one width and vocabulary"
            )
        return tensor.to(device)


def stack_parts(stack: LayerStack, sources: Mapping[str, SourceParts]) -> Parts:
    """Gather what a token passes in a stack; `layer_stack.stack_state` has the same as weights.

    Raises
    ------
    RecipeError
        A source or layer does not exist or does not fit the base.
    """
    for name, _ in stack.layers:
        if name not in sources:
            raise RecipeError(f"stack.layers: {name!r} is unknown; known: {sorted(sources)}")
    first, last = sources[stack.layers[0][0]], sources[stack.layers[-1][0]]
    tied = all(sources[name].tied for name in {name for name, _ in stack.layers})
    return Parts(
        first.part("model.embed_tokens"),
        tuple(
            Slot(sources[name].layer(number), scale)
            for (name, number), scale in zip(stack.layers, stack.scales, strict=True)
        ),
        last.part("model.norm"),
        (first if tied else last).part(HEAD.removesuffix(".weight")),
    )
