"""Minds: one INT8 base, a bank of style adapters, and an exact memo of every answer.

Many (mind, view) and (mind, prompt) questions are answered in few batches, once each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import AnswerMemo, AnswerTable, PromptTable, answer_key
from evobourse.agents.minds.stored_answers import StoredMinds, name_mind
from evobourse.agents.observation import (
    CUE,
    INVOCATION,
    LEVELS,
    OPTIONS,
    encode_view,
    render_rules,
    render_view,
)
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.batch_size import MEMORY_SHARE, free_bytes
from evobourse.merge.engine.byte_budget import ByteBudget
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.int8 import load_weights
from evobourse.merge.engine.loading import hash_tensor
from evobourse.merge.engine.parts import Parts
from evobourse.merge.engine.prompt import Prompt, SoftToken, Token
from evobourse.merge.engine.prompt_tokens import PromptTokens
from evobourse.merge.engine.prompt_trie import PromptTrie
from evobourse.merge.errors import AdapterError, ModelError
from evobourse.merge.peft.mind_vector import split_cores

_KIND = "answers"
Table = AnswerTable | PromptTable
_Place = tuple[type[Table], bytes]


class EngineCounters:
    """What the engine has done: questions asked, computed anew, and recalled from disk."""

    def __init__(self, trie: PromptTrie) -> None:
        self.asked = self.computed = self.recalled = 0
        self._trie = trie

    @property
    def trunk_rows(self) -> int:
        """Private pieces of prompts that the layers below the adapted ones computed."""
        return self._trie.counters.trunk_rows

    @property
    def tokens(self) -> int:
        """Private tokens that the adapted layers computed."""
        return self._trie.counters.tokens

    @property
    def states(self) -> int:
        """Questions computed, those of a batch that is under way included."""
        return self._trie.counters.states


class MindEngine:
    """Answers forced choices for any number of minds on one INT8 base.

    A mind is a coefficient matrix float32[blocks, K] over the bank's K adapters, with cores
    float32[blocks, K, 1 + r * r] (`merge.peft.mind_vector.split_cores`). A question
    is a mind and a view, or a mind and any other prompt in tokens; its answer is five option
    logits, temperature-free. Answers are memoised by (base, mind, prompt); the memo is exact,
    since every kernel on this path gives a row the same bits in every batch.

    The shared rules are computed once per base and the invocation tokens once per mind; the
    layers below the lowest adapted one run once per view for all minds (the trunk), the layers
    above once per question (`merge.engine.prompt_trie`).

    Parameters
    ----------
    model, tokenizer
        The base after `merge.engine.int8.quantize_int8`.
    bank
        Adapters attached to that model.
    base_hash
        Content hash of the base's weights.
    memo
        Answers kept on disk, or None to remember in memory alone.
    kv_budget_bytes
        Most bytes of answers, keys, values and activations that are kept for later: what is
        longest unused goes first and is computed again, to the same bits. None for a share of
        the memory that is free now.

    Raises
    ------
    ModelError
        The options are not one token each in this vocabulary.
    AdapterError
        An activated adapter waits for other invocation tokens than the prompt's.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        bank: AdapterBank,
        base_hash: str,
        memo: AnswerMemo | None = None,
        kv_budget_bytes: int | None = None,
    ):
        self.decoder = Decoder(model)
        self.bank = bank
        self.memo = memo
        if kv_budget_bytes is None:
            kv_budget_bytes = int(free_bytes(self.decoder.device) * MEMORY_SHARE)
        self.budget = ByteBudget(kv_budget_bytes)
        self.trie = PromptTrie(self.decoder, bank, self.budget)
        self.counters = EngineCounters(self.trie)
        self.tokens = PromptTokens(tokenizer)
        # Of a text as it stands behind the invocation.
        self.tokenize: Callable[[str], list[int]] = lambda text: list(
            self.tokens.after(INVOCATION, text)
        )
        self.detokenize: Callable[[Sequence[int]], str] = lambda tokens: tokenizer.decode(
            tokens, skip_special_tokens=True
        )
        self._tokenizer = tokenizer
        self.options = self._option_tokens()
        rules, self.invocation, _ = self.tokens.cut(render_rules(), INVOCATION, CUE)
        self.rules = list(rules)
        self.activated = self._check_adapters()
        self._views: dict[int, Prompt] = {}
        self._queue: dict[_Place, tuple[NDArray[np.float32], list[Any]]] = {}
        self._check_tokens()
        self.base_hash = base_hash

    def set_base(
        self, weights: Mapping[str, torch.Tensor], base_hash: str, parts: Parts | None = None
    ) -> None:
        """Exchange the base's weights (a merge's result), and its layers for a stack's.

        Answers of other bases stay memoised.
        """
        if base_hash != self.base_hash:
            load_weights(self.decoder.model, weights)
            self.decoder.run_on(parts)
            self.base_hash = base_hash
            self.trie.clear()
            self._queue.clear()  # what was asked of another base

    @cached_property
    def line_ends(self) -> frozenset[int]:
        """Tokens that end a line or a text."""
        single = [[token] for token in range(len(self._tokenizer))]
        texts = self._tokenizer.batch_decode(single)
        lines = {token for token, text in enumerate(texts) if "\n" in text}
        return frozenset(lines | set(self._tokenizer.all_special_ids))

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Queue questions of one mind, to be answered together with everyone else's."""
        self._enqueue(AnswerTable, mind, views)

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]; computes everything queued that is not known."""
        return self._reply(AnswerTable, mind, views)

    def ask_prompts(self, mind: NDArray[np.float32], prompts: Sequence[Prompt]) -> None:
        """Queue prompts made by `prompt`, as `ask` does views."""
        self._enqueue(PromptTable, mind, prompts)

    def answer_prompts(
        self, mind: NDArray[np.float32], prompts: Sequence[Prompt]
    ) -> NDArray[np.float32]:
        """Return option logits float32[n, 5], as `answer` does of views."""
        return self._reply(PromptTable, mind, prompts)

    def prompt(self, shared: Sequence[Token], *steps: Sequence[Token]) -> Prompt:
        """Make a prompt of tokens (ids or soft ones): the shared part, then own steps.

        The invocation stands between them, from where on a mind's adapters act. Each step is
        computed once for all prompts that begin with the same shared part and steps.

        Raises
        ------
        ModelError
            A piece is empty, a token is none of the vocabulary's, or a soft token is no vector of
            the model's width.
        """
        return self._checked(Prompt(tuple(shared), self.invocation, tuple(map(tuple, steps))))

    def text_prompt(self, shared: str, *steps: str) -> Prompt:
        """Make a prompt of texts, whose tokens are the tokenizer's own for the whole of it."""
        before, opening, *own = self.tokens.cut(shared, INVOCATION, *steps)
        return self._checked(Prompt(before, opening, tuple(own)))

    def _checked(self, prompt: Prompt) -> Prompt:
        """Refuse tokens that the model has no place for."""
        self.check_length(len(prompt.tokens))
        size, width = (getattr(self.decoder.model.config, x) for x in ("vocab_size", "hidden_size"))
        for token in prompt.tokens:
            if isinstance(token, SoftToken):
                if token.vector.shape != (width,) or not np.isfinite(token.vector).all():
                    raise ModelError(
                        f"prompt: soft token of shape {token.vector.shape}, expected finite "
                        f"({width},); its projector was trained on another model"
                    )
            elif not 0 <= token < size:
                raise ModelError(f"prompt: token {token}, expected 0 to {size - 1}")
        return prompt

    def check_length(self, tokens: int) -> None:
        """Refuse a prompt that is longer than what the model was made for.

        Raises
        ------
        ModelError
            It is. Rotary angles that change behind a length (longrope, dynamic) count as its end,
            since a prompt is computed in pieces.
        """
        config = self.decoder.model.config
        rope = getattr(config, "rope_parameters", None) or {}
        most: int = getattr(config, "max_position_embeddings", None) or tokens
        if rope.get("rope_type") in ("longrope", "dynamic"):
            other = getattr(config, "original_max_position_embeddings", None)
            most = min(most, rope.get("original_max_position_embeddings") or other or most)
        if tokens > most:
            raise ModelError(
                f"base: a prompt of {tokens} tokens, and the model reads {most} at most "
                "(max_position_embeddings, or where its rotary angles change); use a model for "
                "longer texts, or let agents read less"
            )

    def view_prompt(self, view: int) -> Prompt:
        """Return a view's prompt: the rules, then its words and the cue as one step."""
        if view not in self._views:
            words = self.tokenize(render_view(view).removeprefix(INVOCATION))
            self._views[view] = self.prompt(self.rules, words)
        return self._views[view]

    def prompt_tokens(self, view: int) -> list[Token]:
        """Return the whole prompt of a view as token ids, as a model without a memo reads it."""
        return self.view_prompt(view).tokens

    def _enqueue(self, kind: type[Table], mind: NDArray[np.float32], asked: Any) -> None:
        self._queue.setdefault((kind, mind.tobytes()), (mind, []))[1].append(asked)

    def _reply(
        self, kind: type[Table], mind: NDArray[np.float32], asked: Any
    ) -> NDArray[np.float32]:
        key = (kind, mind.tobytes())
        table = self._table(key)
        if table.unknown([asked]):
            self._enqueue(kind, mind, asked)
            # Held here, this table takes its answers even if the budget lets go of it meanwhile.
            self._flush({key: table})
        self.counters.asked += len(asked)
        return table.read(asked)

    def _flush(self, held: dict[_Place, Table]) -> None:
        """Compute what is queued and not known."""
        places: list[tuple[_Place, int | Prompt]] = []
        questions: list[tuple[NDArray[np.float32], Prompt]] = []
        for key, (mind, asked) in self._queue.items():
            table = held.get(key) or self._table(key)
            unknown = table.unknown(asked)
            self._recall(key, mind, table, unknown)
            unknown = table.unknown(asked)
            places += [(key, item) for item in unknown]
            questions += [(mind, self._prompt_of(item)) for item in unknown]
        self._queue.clear()
        waiting = iter(places)
        for part, states in self.trie.last_states(questions):
            logits = self.decoder.option_logits(states, self.options).cpu().numpy()
            self._check_numbers(part, logits)
            answered = zip(part, islice(waiting, len(part)), logits, strict=True)
            for key, rows in groupby(answered, lambda row: row[1][0]):
                self._keep(key, list(rows), held.get(key) or self._table(key))

    def _check_numbers(
        self, questions: Sequence[tuple[NDArray[np.float32], Prompt]], logits: NDArray[np.float32]
    ) -> None:
        """Refuse answers that are no numbers: finite weights may overflow together."""
        for (mind, _), row in zip(questions, logits, strict=True):
            if not np.isfinite(row).all():
                mixed = split_cores(mind)[0]
                acts = [a.name for k, a in enumerate(self.bank.adapters) if mixed[:, k].any()]
                by = f" with adapters {', '.join(map(repr, acts))}" if acts else ""
                raise ModelError(
                    f"base: not a number among the answers of a mind{by}; its weights are too "
                    "large together: use smaller ones, or narrower bounds"
                )

    def _keep(self, key: _Place, rows: list[Any], table: Table) -> None:
        """Remember answers to some questions of one mind, here and on disk."""
        questions, places, logits = zip(*rows, strict=True)
        table.put([item for _, item in places], np.array(logits))
        self.budget.put(self._budget_key(key), table)
        if self.memo is not None:
            keys = self._keys(questions[0][0], [prompt for _, prompt in questions])
            self.memo.write(dict(zip(keys, logits, strict=True)))
        self.counters.computed += len(rows)

    def _recall(self, key: _Place, mind: NDArray[np.float32], table: Table, items: Any) -> None:
        """Take from disk what is there."""
        if self.memo is None:
            return
        keys = self._keys(mind, [self._prompt_of(item) for item in items])
        found = self.memo.read(keys)
        known = [
            (item, found[name]) for item, name in zip(items, keys, strict=True) if name in found
        ]
        if known:
            table.put([item for item, _ in known], np.array([logits for _, logits in known]))
            self.budget.put(self._budget_key(key), table)
        self.counters.recalled += len(known)

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that answers depend on but the prompt: the arithmetic, the weights, the mind.

        As plain JSON values; of no mind in particular, what all minds here have in common.
        """
        return {
            "arithmetic": self.decoder.arithmetic,
            "base": self.base_hash,
            "adapters": [adapter.content_hash for adapter in self.bank.adapters],
            "mind": name_mind(mind),
            "options": list(self.options),
        }

    def _keys(self, mind: NDArray[np.float32], prompts: Sequence[Prompt]) -> list[bytes]:
        """Name answers on disk by all that their bits depend on."""
        scope = self.scope(mind)
        return [
            answer_key(
                scope | {"split": [*map(len, prompt.path[:-1]), self.decoder.first_adapted]},
                prompt.names,
            )
            for prompt in prompts
        ]

    def _budget_key(self, key: _Place) -> tuple[str, str, str, bytes]:
        """Say where the budget holds a mind's answers."""
        kind, mind = key
        return _KIND, self.base_hash, kind.__name__, mind

    def _table(self, key: _Place) -> Table:
        """Return a mind's answers, in an empty table where none are held."""
        table = self.budget.get(self._budget_key(key))
        return table if isinstance(table, key[0]) else key[0]()

    def _prompt_of(self, item: int | Prompt) -> Prompt:
        return item if isinstance(item, Prompt) else self.view_prompt(item)

    def _option_tokens(self) -> list[int]:
        options = [self.tokens.after(INVOCATION + CUE, option) for option in OPTIONS]
        if any(len(o) != 1 for o in options) or len({o[0] for o in options}) != len(OPTIONS):
            raise ModelError(
                f"base: the options {', '.join(map(repr, OPTIONS))} are not one token each in "
                "this vocabulary; use another base"
            )
        return [o[0] for o in options]

    def _check_tokens(self) -> None:
        """Refuse a vocabulary in which a prompt's pieces are not the whole prompt's tokens."""
        levels = np.minimum(np.arange(max(LEVELS))[:, None], np.array(LEVELS) - 1)  # all words
        for view in encode_view(levels, np.ones(levels.shape, np.bool_)).tolist():
            whole = self.tokens.whole(render_rules() + render_view(view))
            if whole != tuple(self.view_prompt(view).tokens):
                raise ModelError(
                    f"base: the tokens of {render_rules()[-12:] + render_view(view)!r} are others "
                    "in this vocabulary than those of its parts; use another base"
                )

    def _check_adapters(self) -> bool:
        waits = {a.name: a.invocation_tokens for a in self.bank.adapters}
        for name, tokens in waits.items():
            if tokens is not None and tokens != self.invocation:
                raise AdapterError(
                    f"adapter {name!r}: activates on tokens {list(tokens)}, the prompt's are "
                    f"{list(self.invocation)}; it was trained for another prompt or vocabulary"
                )
        return all(tokens is not None for tokens in waits.values())


def hash_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash a state dict by content: sha256 over names, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        hash_tensor(digest, name, weights[name])
    return digest.hexdigest()


def engine_of(minds: object, purpose: str) -> MindEngine:
    """Return minds that are one base whose weights are here.

    Raises
    ------
    AgentError
        They are at a server, on several bases or in other processes.
    """
    if isinstance(minds, StoredMinds):
        minds = minds.live
    if not isinstance(minds, MindEngine):
        raise AgentError(
            f"{purpose}: the population's minds are {type(minds).__name__}; needed is one base "
            "whose weights are here"
        )
    return minds
