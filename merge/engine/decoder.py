"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Its layers may stand in another order, more than once and with scaled inputs. INT8 layers on a
processor run by exact arithmetic (`merge.engine.exact`), all others as transformers runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
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
from evobourse.merge.engine.exact.arithmetic import multiply_rows, normalize, soften
from evobourse.merge.engine.exact.attention import Array, ExactLayout, Heads, attend, turn
from evobourse.merge.engine.exact.layers import Attention, run_layer
from evobourse.merge.engine.exact.products import Matrix, multiply, quantize
from evobourse.merge.engine.exact.weights import to_matrix
from evobourse.merge.engine.int8 import Int8Linear, QuantizedLinear
from evobourse.merge.engine.layer_rows import adapter_sites, read_from, rows_of
from evobourse.merge.engine.prompt import Token
from evobourse.merge.engine.quantizers import precision_of
from evobourse.merge.engine.shared_prefix_attention import Layout, Places, Rows
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


EXACT = "INT8 by INT16 in groups of 64, exact, 1"
"""Names the exact arithmetic in the memo's key; another number where a bit of it changes."""

LEAST_TOKENS = 16
"""On a processor a bf16 product of a single row is summed in another order than that of two."""

TILE_TOKENS = 2048
Item = TypeVar("Item")


@dataclass(frozen=True)
class Prefix:
    """Keys and values of tokens: those of one text, or of several rows one after another.

    Attributes
    ----------
    tokens
        Their number P.
    layers
        Place of a layer in the decoder's order to keys and values, float32[2, kv heads, P, head
        width].
    """

    tokens: int
    layers: Mapping[int, torch.Tensor]

    def first(self, tokens: int) -> Prefix:
        """Return those of the first tokens."""
        return Prefix(tokens, {at: pair[:, :, :tokens] for at, pair in self.layers.items()})

    def followed_by(self, other: Prefix) -> Prefix:
        """Append another prefix's tokens, layer by layer."""
        pairs = {at: torch.cat([own, other.layers[at]], dim=2) for at, own in self.layers.items()}
        return Prefix(self.tokens + other.tokens, pairs)


@dataclass(frozen=True)
class Slot:
    """A place in a decoder's order of layers.

    Attributes
    ----------
    layer
        A transformers decoder layer; it may stand in several slots.
    scale
        Factor on its input.
    """

    layer: nn.Module
    scale: float = 1.0


@dataclass(frozen=True)
class Parts:
    """What a token passes: embedding, slots from the bottom up, final norm, output head."""

    embedding: nn.Module
    slots: tuple[Slot, ...]
    norm: nn.Module
    head: nn.Module


class _OwnKeys:
    """What a decoder layer asks of a transformers cache: here it only keeps the new part."""

    pair: tuple[torch.Tensor, torch.Tensor]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.pair = (keys, values)
        return keys, values


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
        """Name how the layers' products are computed and tiled, for the memo's key."""
        if self.exact:
            return EXACT
        tiles = f" in tiles of {self.tile_tokens}" if self.tile_tokens else ""
        return precision_of(self.model) + tiles

    @cached_property
    def machine(self) -> str:
        """Name what else the bits depend on, for the memo's key: chips, torch and its threads."""
        if self.exact:
            return "any"
        devices = {execution_device(layer) for layer in self.model.model.layers}
        chips = " + ".join(sorted(_name_chip(device) for device in devices))
        filled = prefix_attention.FILLED
        return f"{chips}, torch {torch.__version__}, {torch.get_num_threads()} threads, {filled}"

    def run_on(self, parts: Parts | None) -> None:
        """Run on parts of the model's widths, which still lends config and device; None: its own.

        Whoever keeps keys and values of other parts must forget them.
        """
        self.parts = parts or self._own
        self.depth = len(self.parts.slots)
        self._vocabulary: Matrix | None = None

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
            near = Rows(tokens, np.empty((len(chosen), 0), np.int64), np.zeros(len(chosen), np.int64))
            layout = self.lay_out(before, [np.arange(before)], [near])
            row_of = np.asarray(chosen)[np.asarray(layout.row_of.cpu())]
            layout = replace(layout, row_of=torch.from_numpy(row_of).to(self.device))
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

    def lay_out(
        self, known: int, prefixes: Sequence[Places], rows: Sequence[Rows]
    ) -> Layout | ExactLayout:
        """Say what the tokens of a pass see, see `Layout.of`; on a GPU of one shape of rows."""
        if self.exact:
            return ExactLayout.of(prefixes, rows)
        self._refuse_windowed(max(map(len, prefixes), default=0), rows)
        alone = self.tile_tokens is not None
        return Layout.of(known, prefixes, rows, self._queries, alone).to(self.device)

    @torch.inference_mode()
    def run_pass(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        layout: Layout | ExactLayout,
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
        tokens = len(hidden)
        wanted = tokens if read is None else len(read)
        fill = max(0, LEAST_TOKENS - tokens)
        hidden = torch.cat([hidden, hidden[:1].expand(fill, -1)])[:, None]
        if read is not None:
            read = functional.pad(read, (0, max(0, LEAST_TOKENS - wanted)))
        positions = functional.pad(layout.positions, (0, fill))[:, None]
        angles = self.model.model.rotary_emb(hidden, position_ids=positions)
        own = {}
        places = range(first, last)
        layers = [self.parts.slots[place].layer for place in places]
        with (
            self.attending(prefix_attention.NAME),
            rows_of(functional.pad(layout.row_of, (0, fill)), layers),
        ):
            for place in places:
                slot, cache = self.parts.slots[place], _OwnKeys()
                here = execution_device(slot.layer)
                hidden = hidden if slot.scale == 1 else hidden * slot.scale
                some = None if read is None or place < last - 1 else read.to(here)
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

    @property
    def _queries(self) -> int:
        """Queries that a token brings each head of keys."""
        config = self.model.config
        return int(config.num_attention_heads // config.num_key_value_heads)

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
        if self.exact:
            normed, weight = self._normed(hidden), self._head_rows(options)
            return torch.from_numpy(self._scaled(multiply_rows(normed, weight[None])))
        normed: torch.Tensor = self.parts.norm(hidden)
        with _weights_at_hand(self.parts.head):
            head = self.parts.head.get_parameter("weight")[list(options)].to(normed.device).float()
        return (normed[:, None, :] * head[None]).sum(-1)

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
        if self.exact:
            states = self._normed(hidden)
            found = highest(self._rough_logits(states), count)
            weights = self._head_rows(found.ravel()).reshape(*found.shape, -1)
            logits = self._scaled(multiply_rows(states, weights))
            return torch.from_numpy(found), torch.from_numpy(logits)
        normed: torch.Tensor = self.parts.norm(hidden)
        with _weights_at_hand(self.parts.head):
            weight = self.parts.head.get_parameter("weight")
            rough = functional.linear(normed.to(torch.bfloat16), weight.to(torch.bfloat16))
            tokens = rough.topk(count, dim=-1).indices.sort(dim=-1).values
            rows = weight[tokens].float()
        return tokens, (normed[:, None, :] * rows).sum(-1)

    def _normed(self, hidden: torch.Tensor) -> Array:
        with _weights_at_hand(self.parts.norm):
            norm = self.architecture.norm_of(self.parts.norm)
            return normalize(np.ascontiguousarray(hidden.numpy()), norm)

    def _head_rows(self, tokens: Sequence[int] | Places) -> Array:
        """Return rows of the output head, float32[n, width]."""
        with _weights_at_hand(self.parts.head):
            weight = self.parts.head.get_parameter("weight")
            rows: Array = weight[torch.as_tensor(tokens)].float().numpy()
        return rows

    def _rough_logits(self, states: Array) -> Array:
        if self._vocabulary is None:
            with _weights_at_hand(self.parts.head):
                self._vocabulary = to_matrix(self.parts.head.get_parameter("weight"))
        out = np.empty((len(states), self._vocabulary.outputs), np.float32)
        multiply(quantize(states), self._vocabulary, out)
        return out

    def _scaled(self, logits: Array) -> Array:
        """Scale and cap logits as the architecture does."""
        logits = logits / np.float32(self.architecture.logit_scale)
        cap = self.architecture.logit_cap
        return logits if cap is None else soften(logits, cap)


def highest(rows: Array, count: int) -> Places:
    """Return the places of each row's highest values, int64[rows, count], ascending.

    Of equal ones the first are taken.
    """
    found = np.empty((len(rows), count), np.int64)
    for row, own in zip(rows, found, strict=True):
        least = np.partition(row, -count)[-count]
        above = np.flatnonzero(row > least)
        equal = np.flatnonzero(row == least)[: count - len(above)]
        own[:] = np.sort(np.concatenate([above, equal]))
    return found


def _runs_exactly(model: PreTrainedModel) -> bool:
    """Say whether all layers are packed INT8, with memory or files of the processor's."""
    linears = [m for m in model.model.layers.modules() if isinstance(m, nn.Linear | QuantizedLinear)]
    devices = {execution_device(layer).type for layer in model.model.layers}
    packed = all(isinstance(linear, Int8Linear) and linear.packed for linear in linears)
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
