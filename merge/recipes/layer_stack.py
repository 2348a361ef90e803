"""Merging in data-flow space: a stack of layers drawn from several models, with repeats.

Each layer's input may be scaled (Akiba et al. 2024, "Evolutionary Optimization of Model Merging
Recipes", arXiv:2403.13187, section 3.2).
"""

from __future__ import annotations

import copy
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from evobourse.merge.errors import RecipeError
from evobourse.merge.peft.folder import Adapter
from evobourse.merge.recipes.recipe import EMBEDDING, HEAD, State, depth_of, is_tied

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

_NORM = "model.norm.weight"
_WRITES = ("o_proj", "down_proj")  # what adds to the residual stream


@dataclass(frozen=True)
class LayerStack:
    """Layers of source models in the order in which a token passes them.

    The first layer's source lends the embedding, the last one's the final norm and the head, as
    in mergekit's ``passthrough``.

    Attributes
    ----------
    layers
        Source name and layer number, from the bottom up; any order, repeats allowed.
    scales
        Factor on each layer's input, above 0.

    Raises
    ------
    RecipeError
        No layers, or scales that are not one positive number a layer.
    """

    layers: tuple[tuple[str, int], ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise RecipeError("stack.layers: is empty, expected at least one layer")
        positive = all(math.isfinite(scale) and scale > 0 for scale in self.scales)
        if len(self.scales) != len(self.layers) or not positive:
            raise RecipeError(
                f"stack.scales: is {self.scales}, expected {len(self.layers)} numbers above 0, "
                "one per layer"
            )

    @classmethod
    def from_indicator(
        cls,
        depths: Mapping[str, int],
        indicator: NDArray[np.float64],
        scaling: NDArray[np.float64],
    ) -> LayerStack:
        """Build a stack from Akiba et al.'s genome.

        The M layers of all sources stand one after the other, and that row r times.

        Parameters
        ----------
        depths
            Number of layers of each source, in order; M is their sum.
        indicator
            float[r M]; a layer is in the stack where its value is above 0.
        scaling
            W, float[M, M]: ``scaling[i, j]`` scales what goes from layer i to layer j where that
            is another step than in the source of j, from layer j - 1.

        Raises
        ------
        RecipeError
            Shapes do not match, no layer is in, or a scale that is used is not positive.
        """
        places = [(name, layer) for name, depth in depths.items() for layer in range(depth)]
        total = len(places)
        if indicator.ndim != 1 or not indicator.size or indicator.size % total:
            raise RecipeError(
                f"stack.indicator: has shape {indicator.shape}, expected a multiple of {total} "
                "values, one for each layer of the sources"
            )
        if scaling.shape != (total, total):
            raise RecipeError(
                f"stack.scaling: has shape {scaling.shape}, expected {(total, total)}"
            )
        path = [int(at) % total for at in np.flatnonzero(indicator > 0)]
        return cls.along(
            [places[at] for at in path], lambda at: float(scaling[path[at - 1], path[at]])
        )

    @classmethod
    def along(
        cls, layers: Sequence[tuple[str, int]], scaling: Callable[[int], float]
    ) -> LayerStack:
        """Build the stack of a path, scaled where a step is another than in the layer's source.

        Parameters
        ----------
        layers
            Source name and layer number, from the bottom up.
        scaling
            Factor on the input of the layer at a place, asked for those alone that do not follow
            the layer below them in their source.
        """
        scales = [1.0] * len(layers)
        for at, (before, (name, number)) in enumerate(pairwise(layers), 1):
            if before != (name, number - 1):
                scales[at] = scaling(at)
        return cls(tuple(layers), tuple(scales))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` undoes it."""
        return {"layers": [list(place) for place in self.layers], "scales": list(self.scales)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerStack:
        """Build a stack from `to_dict`'s values."""
        layers = tuple((str(name), int(layer)) for name, layer in values["layers"])
        return cls(layers, tuple(float(scale) for scale in values["scales"]))

    def to_mergekit_yaml(self, folders: Mapping[str, str] | None = None) -> str:
        """Write the stack for mergekit's command line, scales folded into the weights.

        See `stack_state`; ``folders`` as in `merge.recipes.mergekit_yaml.write_recipe`.
        """
        place = {name: (folders or {}).get(name, name) for name, _ in self.layers}
        slices = []
        for (name, layer), share in zip(self.layers, self._shares(), strict=True):
            source: dict[str, Any] = {"model": place[name], "layer_range": [layer, layer + 1]}
            if share != 1:
                scaled = [{"filter": part, "value": share} for part in _WRITES]
                source["parameters"] = {"scale": [*scaled, {"value": 1.0}]}
            slices.append({"sources": [source]})
        config = {"merge_method": "passthrough", "slices": slices, "dtype": "float32"}
        # mergekit would take config and tokenizer from any of the models.
        config["base_model"] = place[self.layers[0][0]]
        return yaml.safe_dump(config, sort_keys=False)

    def _shares(self) -> list[float]:
        """Return what each layer's output is multiplied by when the stream is left unscaled."""
        return [1.0 / scale for scale in np.cumprod(self.scales).tolist()]


def stack_state(
    stack: LayerStack, states: Mapping[str, State], fold: bool = True
) -> dict[str, torch.Tensor]:
    """Gather a stack's weights under the names of an ordinary model.

    Parameters
    ----------
    stack
        Which layers.
    states
        State dicts by source name.
    fold
        Whether the scales go into the weights. Scaling the residual stream by c equals leaving
        it and dividing what all later layers add by c, since they read it through RMSNorm, which
        no scale changes but for its epsilon (docs/decisions/041).

    Returns
    -------
    dict
        Names to tensors: the sources' own objects where nothing was folded in.

    Raises
    ------
    RecipeError
        A source or layer does not exist, or tensors of two sources have other shapes.
    """
    used = [_state_of(name, states) for name, _ in stack.layers]
    shares = stack._shares() if fold else [1.0] * len(used)
    gathered = {EMBEDDING: used[0][EMBEDDING]}
    for at, ((name, layer), state, share) in enumerate(
        zip(stack.layers, used, shares, strict=True)
    ):
        start = f"model.layers.{layer}."
        found = {key.removeprefix(start): t for key, t in state.items() if key.startswith(start)}
        if not found:
            raise RecipeError(
                f"stack.layers[{at}]: {name!r} has no layer {layer}; it has {depth_of(state)}"
            )
        for key, tensor in found.items():
            scaled = share != 1 and any(f".{part}." in key for part in _WRITES)
            gathered[f"model.layers.{at}.{key}"] = tensor * share if scaled else tensor
    gathered[_NORM] = used[-1][_NORM]
    tied = all(is_tied(state) for state in used)
    gathered[HEAD] = gathered[EMBEDDING] if tied else used[-1][HEAD]
    _check_shapes(gathered)
    return gathered


def stack_model(
    stack: LayerStack, states: Mapping[str, State], config: PretrainedConfig
) -> PreTrainedModel:
    """Build a stack as a transformers model that scales inputs as it runs.

    Repeated layers share their weights, and each place in the stack has keys and values of its
    own. Saving the model would lose the scales: save `stack_state` instead.

    Parameters
    ----------
    stack, states
        As in `stack_state`.
    config
        Of a source; its number of layers is replaced.

    Returns
    -------
    PreTrainedModel
        In evaluation mode.
    """
    import torch  # seconds, and a recipe is read without it
    from transformers import AutoModelForCausalLM

    state = stack_state(stack, states, fold=False)
    config = stack_config(state, config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)  # was on meta, too
    for layer, scale in zip(model.model.layers, stack.scales, strict=True):
        if scale != 1:
            layer.register_forward_pre_hook(_InputScale(scale))
    return model.eval()


def stack_adapter(stack: LayerStack, adapter: Adapter) -> Adapter:
    """Write an adapter as it acts in a stack: once for every place that a layer of its stands at.

    It fits the weights of `stack_state`, scales folded in.
    """
    factors = {}
    for at, ((_, number), share) in enumerate(zip(stack.layers, stack._shares(), strict=True)):
        for (layer, module), (down, up) in adapter.factors.items():
            if layer == number:
                scaled = share != 1 and module.rpartition(".")[2] in _WRITES
                factors[at, module] = (down, up * share if scaled else up)
    digest = hashlib.sha256(f"{stack.to_dict()} {adapter.content_hash}".encode()).hexdigest()
    return Adapter(adapter.name, factors, adapter.invocation_tokens, digest)


def stack_config(state: State, config: PretrainedConfig) -> PretrainedConfig:
    """Adapt a source's config to a gathered state dict: its depth and whether the head is tied."""
    config = copy.deepcopy(config)
    depth = depth_of(state)
    if kinds := getattr(config, "layer_types", None):
        if len(set(kinds)) > 1:
            raise RecipeError("stack: layers of several kinds (sliding windows) cannot be stacked")
        config.layer_types = kinds[:1] * depth
    config.num_hidden_layers = depth
    config.tie_word_embeddings = is_tied(state)
    return config


@dataclass(frozen=True)
class _InputScale:
    """A forward hook that scales a decoder layer's hidden states."""

    scale: float

    def __call__(self, _: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * self.scale, *args[1:])


def _state_of(name: str, states: Mapping[str, State]) -> State:
    if name not in states:
        raise RecipeError(f"stack.layers: {name!r} is unknown; known: {sorted(states)}")
    return states[name]


def _check_shapes(state: State) -> None:
    """Refuse layers that differ in shape, or do not fit the embedding and the head."""
    shapes: dict[str, torch.Size] = {}
    for key, tensor in state.items():
        part = re.sub(r"\.layers\.\d+\.", ".layers.", key)
        if shapes.setdefault(part, tensor.shape) != tensor.shape:
            raise RecipeError(
                f"stack: {key} is {tuple(tensor.shape)}, in the layers below "
                f"{tuple(shapes[part])}; stack models of one width"
            )
    if (
        state[EMBEDDING].shape != state[HEAD].shape
        or state[_NORM].numel() != state[EMBEDDING].shape[1]
    ):
        raise RecipeError(
            "stack: the first layer's source and the last one's differ in width or vocabulary"
        )
