"""transformers' own forward of a base, layer by layer from its files: the answer to be met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evobourse.merge.model_folder import foreign_code, open_weights


@torch.inference_mode()
def reference_logits(
    name: str, folder: Path, prompts: Sequence[Sequence[int]], options: Sequence[int]
) -> NDArray[np.float32]:
    """Compute the logits of a few tokens behind each prompt, in float32 from the weights as stored.

    A layer's weights are read when the layer runs and let go behind it.

    Parameters
    ----------
    name
        For messages.
    folder
        The base's.
    prompts
        Token ids.
    options
        Tokens.

    Returns
    -------
    NDArray
        float32[prompts, options].

    Raises
    ------
    ModelError
        The weights cannot be read, or transformers cannot run the model.
    """
    model, read = open_weights(name, folder)
    state = model.state_dict()
    parts: Any = getattr(model, model.base_model_prefix, model)
    layers = list(getattr(parts, "layers", ()))
    of_layer = {id(p) for layer in layers for p in layer.parameters()}
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    for key in state:
        if id(model.get_parameter(key)) not in of_layer:
            _put(model, key, read(key))
    for layer in layers:
        own = [names[id(parameter)] for parameter in layer.parameters()]
        layer.register_forward_pre_hook(_Reader(model, own, read))
        layer.register_forward_hook(_Forgetter(model, own))
    last = [len(prompt) - 1 for prompt in prompts]
    width = max(last) + 1
    # Filled on the right, behind what is read: causal attention never sees it.
    ids = torch.tensor([[*p, *[p[-1]] * (width - len(p))] for p in prompts])
    keep, row = torch.unique(torch.tensor(last), return_inverse=True)
    with foreign_code(f"base {name!r}: transformers cannot run it"):
        out = model(input_ids=ids, use_cache=False, logits_to_keep=keep)
    logits = out.logits[torch.arange(len(prompts)), row][:, list(options)]
    return np.asarray(logits.float().numpy())


class _Reader:
    """Fills a layer before it runs."""

    def __init__(self, model: nn.Module, keys: Sequence[str], read: Callable[[str], torch.Tensor]):
        self.model, self.keys, self.read = model, keys, read

    def __call__(self, *_: Any) -> None:
        for key in self.keys:
            _put(self.model, key, self.read(key))


class _Forgetter:
    """Empties a layer after it has run."""

    def __init__(self, model: nn.Module, keys: Sequence[str]):
        self.model, self.keys = model, keys

    def __call__(self, *_: Any) -> None:
        for key in self.keys:
            _put(self.model, key, self.model.get_parameter(key).to("meta"))


def _put(model: nn.Module, key: str, tensor: torch.Tensor) -> None:
    owner, _, leaf = key.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=False))
