"""The projector: patches of scaled returns as soft tokens of a model's embedding width."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from evobourse.agents.encodings.encoding import PATCH
from evobourse.agents.encodings.window import IS_PRICE, WINDOW
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELDS, INVOCATION
from evobourse.merge.engine.prompt_tokens import PromptTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FILE = "patch_projector.safetensors"
HIDDEN = 128
SHARPNESS = 4.0


class PatchProjector(nn.Module):
    """Two layers from a patch of scaled returns and its place in the window to a soft token.

    A soft token is a weighted mean of prototypes, which begin as embeddings of words: the model's
    frozen layers know what to do with those from the first step on (Jin et al. 2024,
    arXiv 2310.01728, reprogram patches by attention over such prototypes).

    Parameters
    ----------
    prototypes
        float32[words, width], copied, and trained along.
    """

    def __init__(self, prototypes: torch.Tensor):
        super().__init__()
        self.inner = nn.Linear(PATCH, HIDDEN)
        self.place = nn.Parameter(torch.randn(WINDOW // PATCH, HIDDEN) / 2)
        self.outer = nn.Linear(HIDDEN, len(prototypes))
        self.prototypes = nn.Parameter(prototypes.detach().float().clone())

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Map windows float32[n, `WINDOW`] to soft tokens float32[n, patches, width]."""
        inner = self.inner(windows.unflatten(-1, (-1, PATCH))) + self.place
        weights: torch.Tensor = (SHARPNESS * self.outer(nn.functional.gelu(inner))).softmax(dim=-1)
        return weights @ self.prototypes

    def save(self, folder: Path) -> None:
        """Write the weights next to an adapter's."""
        state = {name: tensor.detach().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, folder / FILE)


def open_projector(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PatchProjector:
    """Make a new projector for a model, its prototypes the words of the price signs."""
    signs = (field for field, price in zip(FIELDS, IS_PRICE, strict=True) if price)
    words = [f" {word}" for sign in signs for word in sign.words]
    tokens = PromptTokens(tokenizer)
    first = [tokens.after(INVOCATION, word)[0] for word in words]
    weight = model.get_input_embeddings().weight
    return PatchProjector(weight[first]).to(weight.device)


def read_projector(folder: Path) -> PatchProjector:
    """Read the projector in an adapter's folder.

    Raises
    ------
    AgentError
        It is missing, unreadable or of another shape.
    """
    try:
        state = load_file(folder / FILE)
        projector = PatchProjector(state["prototypes"])
        projector.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise AgentError(
            f"adapter {folder}: no projector can be read from {FILE} ({reason}); train it with "
            "--encoding patches"
        ) from error
    return projector.eval()


class SoftInputs:
    """Puts soft tokens in the place of some token ids as a model embeds them."""

    def __init__(self) -> None:
        self._next: tuple[torch.Tensor, torch.Tensor] | None = None

    def expect(self, where: torch.Tensor, vectors: torch.Tensor) -> None:
        """Say what the next forward replaces: bool[rows, tokens] by float32[n, width], in order."""
        self._next = where, vectors

    @contextmanager
    def attached(self, model: PreTrainedModel) -> Iterator[None]:
        """Stand behind a model's embedding until the end."""

        def replace(module: nn.Module, ids: object, out: torch.Tensor) -> torch.Tensor:
            if self._next is None:
                return out
            (where, vectors), self._next = self._next, None
            return out.masked_scatter(where[..., None], vectors.to(out.dtype))

        handle = model.get_input_embeddings().register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()
