"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

It is one of transformers' Llama-shaped models (Llama, Mistral, SmolLM, Qwen2 without sliding
windows), whose layers may stand in another order, more than once and with scaled inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from evobourse.merge.engine import shared_prefix_attention as prefix_attention
from evobourse.merge.engine.devices import execution_device
from evobourse.merge.engine.layer_rows import adapter_sites, read_from, rows_of
from evobourse.merge.engine.prompt import Token
from evobourse.merge.engine.quantizers import precision_of
from evobourse.merge.engine.shared_prefix_attention import Layout, Places, Rows
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


LEAST_TOKENS = 16
"""On a processor a bf16 product of a single row is summed in another order than that of two."""

TILE_TOKENS = 2048
_OF_LAYER = ("input_layernorm", "self_attn", "post_attention_layernorm", "mlp")
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
        A transformers model with ``model.embed_tokens``, ``model.layers``, ``model.norm``,
        ``model.rotary_emb`` and ``lm_head``.
    tile_tokens
        Tokens that every batch is cut and filled to, see `run`; None: `TILE_TOKENS` on a GPU, none
        on a processor.

    Raises
    ------
    ModelError
        The model is of another shape.
    """

    def __init__(self, model: PreTrainedModel, tile_tokens: int | None = None):
        inner: Any = getattr(model, "model", None)
        needed = ("embed_tokens", "layers", "norm", "rotary_emb")
        missing = [part for part in needed if not hasattr(inner, part)]
        for layer in getattr(inner, "layers", ())[:1]:
            missing += [part for part in _OF_LAYER if not hasattr(layer, part)]
        if missing or (odd := _not_reproduced(model.config)):
            kind = type(model).__name__
            raise ModelError(
                f"base: {kind} is not a plain Llama-shaped decoder "
                f"({'missing ' + ', '.join(missing) if missing else 'no full attention: ' + odd}); "
                "use Llama, Mistral or SmolLM"
            )
        self.model = model
        self._own = Parts(
            inner.embed_tokens, tuple(map(Slot, inner.layers)), inner.norm, model.lm_head
        )
        self.run_on(None)
        self.tile_tokens = tile_tokens
        if tile_tokens is None and self.device.type != "cpu":
            self.tile_tokens = TILE_TOKENS

    @property
    def device(self) -> torch.device:
        """Where tokens enter."""
        return execution_device(self.model.model.embed_tokens)

    @cached_property
    def engine(self) -> str:
        """Name how the layers' products are computed and tiled, for the memo's key."""
        tiles = f" in tiles of {self.tile_tokens}" if self.tile_tokens else ""
        return precision_of(self.model) + tiles

    @cached_property
    def machine(self) -> str:
        """Name the chips whose kernels the answers come from, for the memo's key."""
        devices = {execution_device(layer) for layer in self.model.model.layers}
        return " + ".join(sorted(_name_chip(device) for device in devices))

    def run_on(self, parts: Parts | None) -> None:
        """Run on parts of the model's widths, which still lends config and device; None: its own.

        Whoever keeps keys and values of other parts must forget them.
        """
        self.parts = parts or self._own
        self.depth = len(self.parts.slots)

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
        hidden: torch.Tensor = self.parts.embedding(torch.tensor(ids, device=self.device)).float()
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
            layout = _plain_layout(tuple(chosen), tokens, before, self._queries, self.device)
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

    def lay_out(self, known: int, prefixes: Sequence[Places], rows: Sequence[Rows]) -> Layout:
        """Say what the tokens of a pass see, see `Layout.of`; on a GPU of one shape of rows."""
        alone = self.tile_tokens is not None
        return Layout.of(known, prefixes, rows, self._queries, alone).to(self.device)

    @torch.inference_mode()
    def run_pass(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        layout: Layout,
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
        On a processor, a pass of fewer than `LEAST_TOKENS` tokens is filled up with copies.
        """
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
            int64[rows, count] token ids, ascending, and their logits float32[rows, count]. The
            bf16 product over the vocabulary, the same bits in every batch, says which; their
            logits are then taken as `option_logits` takes them.
        """
        normed: torch.Tensor = self.parts.norm(hidden)
        with _weights_at_hand(self.parts.head):
            weight = self.parts.head.get_parameter("weight")
            rough = functional.linear(normed.to(torch.bfloat16), weight.to(torch.bfloat16))
            tokens = rough.topk(count, dim=-1).indices.sort(dim=-1).values
            rows = weight[tokens].float()
        return tokens, (normed[:, None, :] * rows).sum(-1)


def _not_reproduced(config: Any) -> str:
    """Name what a config asks of attention or head that is not computed here."""
    told = config.to_dict()
    kinds = told.get("layer_types") or ["sliding_attention"]
    odd = {key: told.get(key) for key in ("attn_logit_softcapping", "final_logit_softcapping")}
    if told.get("use_sliding_window") is not False and "sliding_attention" in kinds:
        odd["sliding_window"] = told.get("sliding_window")
    return ", ".join(f"{key} {value}" for key, value in odd.items() if value)


@lru_cache(maxsize=64)
def _plain_layout(
    chosen: tuple[int, ...], tokens: int, before: int, queries: int, device: torch.device
) -> Layout:
    """Lay out rows of one length, each with the mixture of its number, behind one prefix."""
    rows = len(chosen)
    near = Rows(tokens, np.empty((rows, 0), np.int64), np.zeros(rows, np.int64))
    layout = Layout.of(before, [np.arange(before)], [near], queries)
    row_of = torch.tensor(chosen)[layout.row_of]
    return replace(layout, row_of=row_of).to(device)


def _name_chip(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


def _weights_at_hand(module: nn.Module) -> AbstractContextManager[None]:
    """Bring weights that accelerate keeps elsewhere, for use without the module's forward."""
    if not hasattr(module, "_hf_hook"):
        return nullcontext()
    from accelerate.utils import align_module_device

    at_hand: AbstractContextManager[None] = align_module_device(module)
    return at_hand
