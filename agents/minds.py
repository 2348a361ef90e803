"""Minds: one INT8 base, a bank of style adapters, and an exact memo of every answer.

Knows how to answer many (mind, view) questions in one batch with one forward pass each.
Deliberately knows nothing of agents, temperatures or markets, and never decides.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.answer_memo import AnswerMemo, AnswerTable, answer_key
from agents.observation import INVOCATION, OPTIONS, render_rules, render_view
from merge.adapters import AdapterBank
from merge.decoder import Decoder, Prefix
from merge.errors import AdapterError, ModelError
from merge.int8 import GROUP, load_weights
from merge.loading import hash_tensor

MEMO_MINDS = 512
OPENING_MINDS = 64
BATCH_ROWS = 256


@dataclass
class EngineCounters:
    """What the engine has done: questions asked, computed anew, and recalled from disk."""

    asked: int = 0
    computed: int = 0
    recalled: int = 0
    trunk_rows: int = 0
    tokens: int = 0


class MindEngine:
    """Answers forced choices for any number of minds on one INT8 base.

    A mind is a coefficient matrix float32[blocks, K] over the bank's K adapters. A question
    is a mind and a view; its answer is five option logits, temperature-free. Answers are
    memoised by (base, mind, view); the memo is exact, since every kernel on this path gives a
    row the same bits in every batch.

    The shared rules are computed once per base and the invocation tokens once per mind; the
    layers below the lowest adapted one run once per view for all minds (the trunk), the layers
    above once per question.

    Parameters
    ----------
    model, tokenizer
        The base after `merge.int8.quantize_int8`.
    bank
        Adapters attached to that model.
    base_hash
        Content hash of the base's weights.
    memo
        Answers kept on disk, or None to remember in memory alone.

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
    ):
        self.decoder = Decoder(model)
        self.bank = bank
        self.memo = memo
        self.counters = EngineCounters()
        self._ids: Callable[[str], list[int]] = lambda text: (
            tokenizer(text, add_special_tokens=False).input_ids
        )
        self.options = self._option_tokens()
        self.invocation = tuple(self._ids(INVOCATION))
        self.activated = self._check_adapters()
        self._rules = list(self._ids(render_rules()))
        self._start = [tokenizer.bos_token_id] if self._adds_bos(tokenizer) else []
        self._view_tokens: dict[int, list[int]] = {}
        self._memo: OrderedDict[tuple[str, bytes], AnswerTable] = OrderedDict()
        self._queue: dict[bytes, tuple[NDArray[np.float32], list[NDArray[np.int64]]]] = {}
        self._install(base_hash)

    def set_base(self, weights: Mapping[str, torch.Tensor], base_hash: str) -> None:
        """Exchange the base's weights (a merge's result); answers of other bases stay memoised."""
        if base_hash != self.base_hash:
            load_weights(self.decoder.model, weights)
            self._install(base_hash)

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Queue questions of one mind, to be answered together with everyone else's."""
        key = mind.tobytes()
        self._queue.setdefault(key, (mind, []))[1].append(views)

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]; computes everything queued that is not known."""
        key = mind.tobytes()
        answers = self._answers(key)
        if not answers.known[views].all():
            if key not in self._queue:
                self.ask(mind, views)
            self._flush()
            # More minds in one flush than the memo holds push out this one's table.
            answers = self._answers(key)
            if not answers.known[views].all():
                self.ask(mind, views)
                self._flush()
        self.counters.asked += len(views)
        return answers.logits[views]

    def prompt_tokens(self, view: int) -> list[int]:
        """Return the whole prompt of a view as token ids, as a model without a memo reads it."""
        return [*self._start, *self._rules, *self.invocation, *self._tokens(view)]

    def _flush(self) -> None:
        """Compute what is queued and not known, batched by mind and exact length."""
        batches: dict[tuple[bytes, int], tuple[NDArray[np.float32], list[int]]] = {}
        for key, (mind, asked) in self._queue.items():
            self._recall(mind, asked)
            for view in self._answers(key).unknown(asked):
                length = len(self._tokens(view))
                batches.setdefault((key, length), (mind, []))[1].append(view)
        self._queue.clear()
        for mind, views in batches.values():
            self._fill_trunk(views)
            for at in range(0, len(views), BATCH_ROWS):
                self._compute(mind, views[at : at + BATCH_ROWS])

    def _recall(self, mind: NDArray[np.float32], asked: list[NDArray[np.int64]]) -> None:
        """Take from disk what is there."""
        if self.memo is None:
            return
        answers = self._answers(mind.tobytes())
        views = answers.unknown(asked)
        places = dict(zip(self._keys(mind, views), views, strict=True))
        found = self.memo.read(list(places))
        for key, logits in found.items():
            answers.put([places[key]], logits)
        self.counters.recalled += len(found)

    def _keys(self, mind: NDArray[np.float32], views: list[int]) -> list[bytes]:
        """Name answers on disk by all that their bits depend on."""
        scope = {
            "engine": self.decoder.engine,
            "group": GROUP,
            "base": self.base_hash,
            "adapters": [adapter.content_hash for adapter in self.bank.adapters],
            "mind": [list(mind.shape), mind.tobytes().hex()],
            "split": [len(self._start + self._rules), len(self.invocation), self.bank.first_layer],
            "options": list(self.options),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": self.decoder.machine,
        }
        return [answer_key(scope, self.prompt_tokens(view)) for view in views]

    def _fill_trunk(self, views: list[int]) -> None:
        missing = [view for view in views if view not in self._trunk]
        for at in range(0, len(missing), BATCH_ROWS):
            part = missing[at : at + BATCH_ROWS]
            hidden = self.decoder.embed([self._tokens(view) for view in part])
            hidden, _ = self.decoder.run(hidden, 0, self.bank.first_layer, self._trunk_prefix)
            self._trunk.update(zip(part, hidden, strict=True))
            self.counters.trunk_rows += len(part)

    def _compute(self, mind: NDArray[np.float32], views: list[int]) -> None:
        """Answer views of equal length for one mind, whose opening all rows share."""
        first, depth = self.bank.first_layer, self.decoder.depth
        hidden = torch.stack([self._trunk[view] for view in views])
        opening = self._opening(mind)
        with self.bank.mixed(torch.from_numpy(mind[None]).to(hidden.device)):
            hidden, _ = self.decoder.run(hidden, first, depth, opening)
        logits = self.decoder.option_logits(hidden[:, -1], self.options).cpu().numpy()
        self._answers(mind.tobytes()).put(views, logits)
        if self.memo is not None:
            self.memo.write(dict(zip(self._keys(mind, views), logits, strict=True)))
        self.counters.computed += len(views)
        self.counters.tokens += hidden.shape[0] * hidden.shape[1]

    def _opening(self, mind: NDArray[np.float32]) -> Prefix:
        """Return the upper layers' keys and values of rules and invocation for a mind.

        Activated adapters leave the rules to the base; ordinary LoRA changes them too.
        """
        key = mind.tobytes()
        if key not in self._openings:
            first, depth = self.bank.first_layer, self.decoder.depth
            device, rules = self._rules_hidden.device, self._rules_upper
            if not self.activated:
                ordinary = [a.invocation_tokens is None for a in self.bank.adapters]
                acting = np.where(ordinary, mind, np.float32(0))
                with self.bank.mixed(torch.from_numpy(acting[None]).to(device)):
                    _, rules = self.decoder.run(self._rules_hidden, first, depth)
            with self.bank.mixed(torch.from_numpy(mind[None]).to(device)):
                _, own = self.decoder.run(self._invocation_hidden, first, depth, rules)
            self._openings[key] = rules.followed_by(own)
            if len(self._openings) > OPENING_MINDS:
                self._openings.pop(next(iter(self._openings)))
        return self._openings[key]

    def _install(self, base_hash: str) -> None:
        self.base_hash = base_hash
        self._trunk: dict[int, torch.Tensor] = {}
        self._openings: dict[bytes, Prefix] = {}
        first, depth = self.bank.first_layer, self.decoder.depth
        rules = self.decoder.embed([self._start + self._rules])
        self._rules_hidden, lower = self.decoder.run(rules, 0, first)
        _, self._rules_upper = self.decoder.run(self._rules_hidden, first, depth)
        invocation = self.decoder.embed([list(self.invocation)])
        self._invocation_hidden, below = self.decoder.run(invocation, 0, first, lower)
        self._trunk_prefix = lower.followed_by(below)

    def _answers(self, key: bytes) -> AnswerTable:
        place = (self.base_hash, key)
        if place not in self._memo:
            self._memo[place] = AnswerTable()
            if len(self._memo) > MEMO_MINDS:
                self._memo.popitem(last=False)
        self._memo.move_to_end(place)
        return self._memo[place]

    def _tokens(self, view: int) -> list[int]:
        """Tokenise what follows the invocation."""
        if view not in self._view_tokens:
            self._view_tokens[view] = self._ids(render_view(view).removeprefix(INVOCATION))
        return self._view_tokens[view]

    def _option_tokens(self) -> list[int]:
        options = [self._ids(option) for option in OPTIONS]
        if any(len(o) != 1 for o in options) or len({o[0] for o in options}) != len(OPTIONS):
            raise ModelError(
                f"base: the options {', '.join(map(repr, OPTIONS))} are not one token each in "
                "this vocabulary; use another base"
            )
        return [o[0] for o in options]

    def _check_adapters(self) -> bool:
        waits = {a.name: a.invocation_tokens for a in self.bank.adapters}
        for name, tokens in waits.items():
            if tokens is not None and tokens != self.invocation:
                raise AdapterError(
                    f"adapter {name!r}: activates on tokens {list(tokens)}, the prompt's are "
                    f"{list(self.invocation)}; it was trained for another prompt or vocabulary"
                )
        return all(tokens is not None for tokens in waits.values())

    @staticmethod
    def _adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
        return tokenizer.bos_token_id is not None and bool(getattr(tokenizer, "add_bos_token", 0))


def hash_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """Hash a state dict by content: sha256 over names, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        hash_tensor(digest, name, weights[name])
    return digest.hexdigest()
