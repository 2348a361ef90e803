"""Models of which many are open at once share one set of weights."""

import copy

from torch import nn


def share_weights(model: nn.Module) -> nn.Module:
    """Copy a model's modules, to attach things to; its weights stay the same memory."""
    memo = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in model.parameters()}
    memo |= {id(b): b.detach() for b in model.buffers()}
    return copy.deepcopy(model, memo)
