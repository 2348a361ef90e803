"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Its layers may stand in another order, more than once and with scaled inputs. INT8 layers on a
processor run by exact arithmetic (`merge.engine.exact`), all others as transformers runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial, reduce
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from evobourse.merge.engine import shared_prefix_attention as prefix_attention
from evobourse.merge.engine.devices import execution_device
from evobourse.merge.engine.exact.architecture import Architecture
from evobourse.merge.engine.exact.attention import Array, ExactLayout, Heads, attend, turn
from evobourse.merge.engine.exact.head import Head
from evobourse.merge.engine.exact.kernels import ARITHMETIC
from evobourse.merge.engine.exact.layers import Attention, run_layer
from evobourse.merge.engine.int8 import Int8Linear, QuantizedLinear
from evobourse.merge.engine.layer_rows import adapter_sites, run_in_transformers
from evobourse.merge.engine.parts import Parts, Prefix, Slot
from evobourse.merge.engine.prompt import Token
from evobourse.merge.engine.quantizers import precision_of
from evobourse.merge.engine.shared_prefix_attention import Layout, Places, Rows
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


TILE_TOKENS = 2048
AnyLayout = Layout | ExactLayout
Item = TypeVar("Item")


class Decoder:
    """A causal language model whose layers can be run a span at a time.

    Parameters
    ----------
    model
        A transformers model of an architecture in `merge.engine.exact.architecture`.
    tile_tokens
        Tokens that every batch is cut and filled to, see `run`; None: `TILE_TOKENS` on a GPU, none
        on a processor.

    Raises
    ------
    ModelError
        The model is of another architecture, or one that only exact arithmetic knows.
    """

    def __init__(self, model: PreTrainedModel, tile_tokens: int | None = None):
        self.architecture = Architecture(model.config)
        self.model = model
        inner: Any = model.model
        self._own = Parts(
            inner.embed_tokens, tuple(map(Slot, inner.layers)), inner.norm, model.lm_head
        )
        self.run_on(None)
        self.exact = tile_tokens is None and _runs_exactly(model)
        self.tile_tokens = tile_tokens
        if tile_tokens is None and self.device.type != "cpu":
            self.tile_tokens = TILE_TOKENS
        if not self.exact and not self.architecture.plain:
            raise ModelError(
                f"base: {model.config.model_type} runs in INT8 on a processor alone; set "
                "minds.device: cpu and minds.quantizer: groups, or use Llama, Mistral or Qwen"
            )

    @property
    def device(self) -> torch.device:
        """Where tokens enter."""
        return execution_device(self.model.model.embed_tokens)

    @cached_property
    def engine(self) -> str:
        """Name how the layers' products are computed and tiled."""
        if self.exact:
            return ARITHMETIC
        tiles = f" in tiles of {self.tile_tokens}" if self.tile_tokens else ""
        return precision_of(self.model) + tiles

    @cached_property
    def machine(self) -> str:
        """Name the chips whose kernels the answers come from."""
        devices = {execution_device(layer) for layer in self.model.model.layers}
        return " + ".join(sorted(_name_chip(device) for device in devices))

    @property
    def arithmetic(self) -> str:
        """Name all that the bits of an answer depend on beside weights and prompt, for memos."""
        if self.exact:
            return ARITHMETIC
        threads, filled = torch.get_num_threads(), prefix_attention.FILLED
        library = f"torch {torch.__version__}, {threads} threads, filled to {filled}"
        return f"{self.engine} on {self.machine}, {library}"

    def run_on(self, parts: Parts | None) -> None:
        """Run on parts of the model's widths, which still lends config and device; None: its own.

        Whoever keeps keys and values of other parts must forget them.
        """
        self.parts = parts or self._own
        self.depth = len(self.parts.slots)
        self._head = Head(self.architecture, self.parts.norm, self.parts.head)

    @property
    def first_adapted(self) -> int:
        """The lowest slot whose layer has adapters, or the depth: below it all minds are one."""
        return next(
            (place for place, slot in enumerate(self.parts.slots) if adapter_sites(slot.layer)),
            self.depth,
        )

    @torch.inference_mode()
    def embed(self, tokens: Sequence[Sequence[Token]]) -> torch.Tensor:
        """Embed token ids and soft tokens, rows of equal length: float32[rows, tokens, width]."""
        ids = [[t if isinstance(t, int) else 0 for t in row] for row in tokens]
        at = torch.tensor(ids, device=self.device)
        if self.exact:
            with _weights_at_hand(self.parts.embedding):
                hidden = self.parts.embedding.get_parameter("weight")[at].float()
            hidden = hidden * float(self.architecture.embedding_scale)
        else:
            hidden = self.parts.embedding(at).float()
        for row, of_row in enumerate(tokens):
            for place, token in enumerate(of_row):
                if not isinstance(token, int):
                    hidden[row, place] = torch.from_numpy(token.vector.copy()).to(hidden.device)
        return hidden

    @torch.inference_mode()
    def run(
        self, hidden: torch.Tensor, first: int, last: int, prefix: Prefix | None = None
    ) -> tuple[torch.Tensor, Prefix]:
        """Run rows of one length through the layers in slots ``first`` to ``last - 1``.

        Parameters
        ----------
        hidden
            float32[rows, tokens, width], input of slot ``first``; every row has the same
            number of real tokens (no padding), which stand behind the prefix.
        first, last
            Span of slots.
        prefix
            Keys and values that stand before the tokens of every row.

        Returns
        -------
        tuple
            float32[rows, tokens, width], input of slot ``last``, and the tokens' own keys
            and values, row by row.
        """
        rows, tokens = hidden.shape[:2]
        before = prefix.tokens if prefix else 0
        outs, owns = [], []
        for chosen in self.tiles(range(rows), tokens):
            near = Rows(
                tokens, np.empty((len(chosen), 0), np.int64), np.zeros(len(chosen), np.int64)
            )
            layout = self.lay_out(before, [np.arange(before)], [near])
            row_of = torch.tensor(list(chosen))[layout.row_of.cpu()]
            layout = replace(layout, row_of=row_of.to(self.device))
            part = hidden if len(chosen) == rows else hidden[chosen]
            known = prefix.layers if prefix else None
            out, own = self.run_pass(part.flatten(0, 1), first, last, layout, known)
            real = len(set(chosen)) * tokens
            outs.append(out[:real])
            owns.append(own.first(real))
        return torch.cat(outs).unflatten(0, (rows, tokens)), reduce(Prefix.followed_by, owns)

    def tiles(self, rows: Sequence[Item], tokens: int) -> Iterator[list[Item]]:
        """Cut rows of one length into batches of the one shape whose bits do not vary.

        On a processor any batch is. On a GPU the libraries choose a kernel, and with it the order
        of a sum, by the batch's shape: there all batches of a length are cut and filled with
        copies to one shape, of ``tile_tokens`` tokens.
        """
        if self.tile_tokens is None:
            yield list(rows)
            return
        size = -(-self.tile_tokens // tokens)
        for at in range(0, len(rows), size):
            yield list(islice(cycle(rows[at : at + size]), size))

    def lay_out(self, known: int, prefixes: Sequence[Places], rows: Sequence[Rows]) -> AnyLayout:
        """Say what the tokens of a pass see, see `Layout.of`; on a GPU of one shape of rows."""
        if self.exact:
            return ExactLayout.of(prefixes, rows)
        self._refuse_windowed(max(map(len, prefixes), default=0), rows)
        alone = self.tile_tokens is not None
        return Layout.of(
            known, prefixes, rows, self.architecture.queries // self.architecture.keys, alone
        ).to(self.device)

    @torch.inference_mode()
    def run_pass(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        layout: AnyLayout,
        known: Mapping[int, torch.Tensor] | None = None,
        read: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Prefix]:
        """Run tokens of any rows through the layers in slots ``first`` to ``last - 1``.

        The linear layers take all tokens at once; what each token attends to is the layout's to
        say. A row may follow another of the same pass, since in every layer keys and values are
        there before anyone attends to them.

        Parameters
        ----------
        hidden
            float32[tokens, width], input of slot ``first``.
        first, last
            Span of slots.
        layout
            What every token sees, see `lay_out`. Active mixtures are those of its rows.
        known
            Keys and values there before, as in `Prefix.layers`.
        read
            int64[r], the tokens whose state is wanted: the last slot computes no more of the others
            than their keys and values. None for all.

        Returns
        -------
        tuple
            float32[tokens or r, width], input of slot ``last``, and all tokens' keys and values.

        Notes
        -----
        On a processor, a pass of fewer than `LEAST_TOKENS` tokens in bf16 is filled up with copies.
        """
        if isinstance(layout, ExactLayout):
            return self._run_exactly(hidden, first, last, layout, known, read)
        slots = self.parts.slots[first:last]
        with self.attending(prefix_attention.NAME):
            return run_in_transformers(self.model, slots, first, hidden, layout, known, read)

    def _run_exactly(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        layout: ExactLayout,
        known: Mapping[int, torch.Tensor] | None,
        read: torch.Tensor | None,
    ) -> tuple[torch.Tensor, Prefix]:
        own: dict[int, torch.Tensor] = {}
        shape = (2, self.architecture.keys, 0, self.architecture.head_width)
        none = np.empty(shape, np.float32)

        def attend_all(place: int, projected: Array, heads: Heads, table: Array) -> Array:
            pair = turn(projected, heads, table)
            own[place] = torch.from_numpy(pair)
            before = none if known is None else known[place].contiguous().numpy()
            return attend(projected, before, pair, layout, heads)

        wanted = None if read is None else read.numpy()
        out = self.run_layers(
            hidden, first, last, layout.positions.numpy(), layout.row_of.numpy(), attend_all, wanted
        )
        return torch.from_numpy(out), Prefix(len(hidden), own)

    def run_layers(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        positions: Places,
        row_of: Places,
        attention: Attention,
        read: Places | None = None,
    ) -> Array:
        """Run tokens float32[n, width] through layers exactly, see `exact.layers.run_layer`."""
        tables = self.architecture.turn_tables(positions)
        rows = np.ascontiguousarray(hidden.numpy())
        for place in range(first, last):
            slot = self.parts.slots[place]
            with _weights_at_hand(slot.layer):
                rows = run_layer(
                    self.architecture, slot.layer, rows * np.float32(slot.scale), tables, row_of,
                    partial(attention, place), read if place == last - 1 else None,
                )  # fmt: skip
        return rows if read is None or first < last else rows[read]

    def _refuse_windowed(self, before: int, rows: Sequence[Rows]) -> None:
        window = self.architecture.least_window
        longest = max((before + part.near.shape[1] + part.tokens for part in rows), default=0)
        if window is not None and longest > window:
            raise ModelError(
                f"base: {longest} tokens, and its layers see {window}, which only exact arithmetic "
                "knows; set minds.device: cpu and minds.quantizer: groups"
            )

    @contextmanager
    def attending(self, name: str) -> Iterator[None]:
        """Let the layers attend by a function registered under a name, until the end."""
        config = self.model.config
        usual = config._attn_implementation
        config._attn_implementation = name
        try:
            yield
        finally:
            config._attn_implementation = usual

    @torch.inference_mode()
    def option_logits(self, hidden: torch.Tensor, options: Sequence[int]) -> torch.Tensor:
        """Read the logits of a few tokens from last-layer states [rows, width].

        Returns
        -------
        torch.Tensor
            float32[rows, options]. Product and sum are taken per element, not as a matrix
            product, so that a row's logits are the same bits in every batch.
        """
        with _weights_at_hand(self.parts.norm), _weights_at_hand(self.parts.head):
            if self.exact:
                return torch.from_numpy(self._head.option_logits(hidden.numpy(), options))
            state: torch.Tensor = self.parts.norm(hidden)
            head = self.parts.head.get_parameter("weight")[list(options)].to(state.device).float()
        return (state[:, None, :] * head[None]).sum(-1)

    @torch.inference_mode()
    def likeliest(self, hidden: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the tokens that are likeliest to follow, from last-layer states [rows, width].

        Returns
        -------
        tuple
            int64[rows, count] token ids, ascending, and their logits float32[rows, count]. A
            product over the vocabulary in INT8 (or bf16), the same bits in every batch, says which;
            their logits are then taken as `option_logits` takes them.
        """
        with _weights_at_hand(self.parts.norm), _weights_at_hand(self.parts.head):
            if self.exact:
                tokens, logits = map(torch.from_numpy, self._head.likeliest(hidden.numpy(), count))
                return tokens, logits
            normed: torch.Tensor = self.parts.norm(hidden)
            weight = self.parts.head.get_parameter("weight")
            rough = functional.linear(normed.to(torch.bfloat16), weight.to(torch.bfloat16))
            tokens = rough.topk(count, dim=-1).indices.sort(dim=-1).values
            rows = weight[tokens].float()
        return tokens, (normed[:, None, :] * rows).sum(-1)


def _runs_exactly(model: PreTrainedModel) -> bool:
    """Say whether all layers are packed INT8, with memory or files of the processor's."""
    linears = [
        m for m in model.model.layers.modules() if isinstance(m, nn.Linear | QuantizedLinear)
    ]
    devices = {execution_device(layer).type for layer in model.model.layers}
    packed = all(
        isinstance(linear, Int8Linear) and linear.packed and not linear.compiled
        for linear in linears
    )
    return packed and devices == {"cpu"} and execution_device(model.lm_head).type == "cpu"


def _name_chip(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


def _weights_at_hand(module: nn.Module) -> AbstractContextManager[None]:
    """Bring weights that accelerate keeps elsewhere, for use without the module's forward."""
    hooked = [part for part in module.modules() if hasattr(part, "_hf_hook")]
    if not hooked:
        return nullcontext()
    return _aligned(hooked)


@contextmanager
def _aligned(modules: Sequence[nn.Module]) -> Iterator[None]:
    from accelerate.utils import align_module_device

    with ExitStack() as until:
        for module in modules:
            until.enter_context(align_module_device(module))
        yield
