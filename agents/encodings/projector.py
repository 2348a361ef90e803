"""The projector: patches of scaled returns as soft tokens of a model's embedding width.

Knows the small network, its file and how it stands in for token ids while it is trained.
Deliberately knows nothing of adapters, minds or prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from agents.encodings.encoding import PATCH
from agents.encodings.window import WINDOW
from agents.errors import AgentError

FILE = "patch_projector.safetensors"
HIDDEN = 128


class PatchProjector(nn.Module):
    """Two layers from a patch of scaled returns and its place in the window to a soft token.

    Parameters
    ----------
    width
        The model's embedding width.
    size
        Root mean square of the soft tokens' entries at the start, best the embeddings' own.
    """

    def __init__(self, width: int, size: float = 1.0):
        super().__init__()
        self.inner = nn.Linear(PATCH, HIDDEN)
        self.place = nn.Parameter(torch.randn(WINDOW // PATCH, HIDDEN) / 2)
        self.outer = nn.Linear(HIDDEN, width)
        self.register_buffer("size", torch.tensor(size))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Map windows float32[n, `WINDOW`] to soft tokens float32[n, patches, width]."""
        inner = self.inner(windows.unflatten(-1, (-1, PATCH))) + self.place
        return self.outer(nn.functional.gelu(inner)) * self.size

    def save(self, folder: Path) -> None:
        """Write the weights next to an adapter's."""
        state = {name: tensor.detach().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, folder / FILE)


def open_projector(model: nn.Module) -> PatchProjector:
    """Make a new projector for a model, its soft tokens as large as the model's embeddings."""
    weight = model.get_input_embeddings().weight.detach().float()
    projector = PatchProjector(weight.shape[1])
    # The second layer's entries begin at about a third of its input's size.
    projector.size.fill_(3.0 * float(weight.square().mean().sqrt()))
    return projector.to(weight.device)


def read_projector(folder: Path) -> PatchProjector:
    """Read the projector in an adapter's folder.

    Raises
    ------
    AgentError
        It is missing, unreadable or of another shape.
    """
    try:
        state = load_file(folder / FILE)
        projector = PatchProjector(state["outer.weight"].shape[0])
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
    def attached(self, model: nn.Module) -> Iterator[None]:
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
