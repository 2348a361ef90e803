"""transformers' own forward of a base, module by module from its files: the answer to be met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evobourse.merge.engine.batch_size import give_back_freed_memory
from evobourse.merge.errors import foreign_code
from evobourse.merge.model_folder import EMBEDDING, HEAD, open_weights


@torch.inference_mode()
def reference_logits(
    name: str, folder: Path, prompts: Sequence[Sequence[int]], options: Sequence[int]
) -> NDArray[np.float32]:
    """Compute the logits of a few tokens behind each prompt, in float32 from the weights as stored.

    A module's weights are read when the module runs and let go behind it; of embedding and head,
    the rows that are asked for.

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
    tokens = torch.tensor(sorted({token for prompt in prompts for token in prompt}))
    chosen = torch.tensor(list(options))

    def needed(key: str) -> torch.Tensor:
        if key == HEAD:
            return read(key)[chosen].float()
        if key != EMBEDDING:
            return read(key).float()
        stored = read(key)
        whole = torch.empty(stored.shape)  # memory holds the rows that are written
        whole[tokens] = stored[tokens].float()
        return whole

    for owner, module in list(model.named_modules()):
        leaves = [leaf for leaf, _ in module.named_parameters(recurse=False)]
        keys = {leaf: f"{owner}.{leaf}".removeprefix(".") for leaf in leaves}
        if keys:
            module.register_forward_pre_hook(partial(_fill, keys, needed))
            module.register_forward_hook(partial(_empty, leaves))
    last = [len(prompt) - 1 for prompt in prompts]
    width = max(last) + 1
    # Filled on the right, behind what is read: causal attention never sees it.
    ids = torch.tensor([[*p, *[p[-1]] * (width - len(p))] for p in prompts])
    keep, row = torch.unique(torch.tensor(last), return_inverse=True)
    with foreign_code(f"base {name!r}: transformers cannot run it"):
        out = model(input_ids=ids, use_cache=False, logits_to_keep=keep)
    logits = out.logits[torch.arange(len(prompts)), row]
    return np.asarray(logits.float().numpy())


def _fill(
    keys: Mapping[str, str], read: Callable[[str], torch.Tensor], module: nn.Module, *_: Any
) -> None:
    """Read a module's own weights, by their names there."""
    for leaf, key in keys.items():
        setattr(module, leaf, nn.Parameter(read(key), requires_grad=False))


def _empty(leaves: Sequence[str], module: nn.Module, *_: Any) -> None:
    """Let a module's own weights go."""
    for leaf in leaves:
        gone = module.get_parameter(leaf).to("meta")
        setattr(module, leaf, nn.Parameter(gone, requires_grad=False))
    give_back_freed_memory()
