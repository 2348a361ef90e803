"""The forced choice as a differentiable function, over rules that are read once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from evobourse.agents.encodings.encoding import SOFT, WORDS, Encoding
from evobourse.agents.encodings.projector import PatchProjector, SoftInputs
from evobourse.agents.observation import CUE, INVOCATION, OPTIONS
from evobourse.merge.engine.prompt_tokens import PromptTokens


def choice_reader(
    model: Any,
    tokenizer: Any,
    device: torch.device,
    shared_prefix: bool,
    encoding: Encoding = WORDS,
    projector: PatchProjector | None = None,
) -> Callable[..., torch.Tensor]:
    """Build the differentiable function from views to the forced choice's logits.

    Parameters
    ----------
    model
        A PEFT model, as accelerate prepared it or plain.
    tokenizer
        Of its base.
    device
        Where the model is.
    shared_prefix
        Read the rules once, without the adapter, and reuse their keys and values: right for an
        activated adapter. An ordinary one reads the rules itself.
    encoding
        What a view becomes for the model.
    projector
        Of an encoding in patches.

    Returns
    -------
    Callable
        Takes n views, see `agents.observation.encode_view`, and for an encoding of numbers their
        windows float32[n, W]; returns float32[n, 5].
    """
    from accelerate.utils import extract_model_from_parallel
    from transformers import DynamicCache

    tokens, soft = PromptTokens(tokenizer), SoftInputs()
    rules, opening = map(list, tokens.cut(encoding.rules, INVOCATION))
    options = [tokens.after(INVOCATION + CUE, option)[0] for option in OPTIONS]

    def tokenize(text: str) -> list[int]:
        return list(tokens.after(INVOCATION, text))

    own = extract_model_from_parallel(model, keep_fp32_wrapper=True)
    prefix = DynamicCache()
    if shared_prefix:
        with torch.no_grad(), own.disable_adapter():
            ids = torch.tensor([rules], device=device)
            prefix = own(input_ids=ids, use_cache=True).past_key_values

    def read(views: list[int], windows: torch.Tensor | None = None) -> torch.Tensor:
        private = [
            opening
            + encoding.window_part(tokenize, v, None if windows is None else _plain(windows[row]))
            + encoding.words_part(tokenize, v)
            for row, v in enumerate(views)
        ]
        texts = private if shared_prefix else [rules + p for p in private]
        width = max(map(len, texts))
        last = torch.tensor([len(t) - 1 for t in texts], device=device)
        # Padding stands on the right, behind the last real token: causal attention never sees it.
        ids = torch.tensor([t + [t[-1]] * (width - len(t)) for t in texts], device=device)
        keep, row = torch.unique(last, return_inverse=True)
        if projector is not None and windows is not None and (where := ids == SOFT).any():
            soft.expect(where, projector(windows[where.any(dim=1)]))
            ids = ids.clamp_min(0)
        cache = _fixed_prefix(prefix, len(texts))
        with soft.attached(own):
            out = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=keep)
        logits: torch.Tensor = out.logits[torch.arange(len(texts)), row][:, options]
        return logits.float()

    return read


def _plain(window: torch.Tensor) -> Any:
    return window.cpu().numpy()


def _fixed_prefix(prefix: Any, rows: int) -> Any:
    """Spread a prefix over rows, in a cache that forgets what comes after it.

    A layer that is recomputed for its gradients must find the cache as it was.
    """
    from transformers import DynamicCache

    class Fixed(DynamicCache):  # type: ignore[misc]  # transformers' types are not read
        def update(self, keys: Any, values: Any, index: int, *_: Any, **__: Any) -> Any:
            if index >= len(self.layers):  # no prefix
                return keys, values
            held = self.layers[index]
            return torch.cat([held.keys, keys], dim=-2), torch.cat([held.values, values], dim=-2)

    shape = (rows, -1, -1, -1)
    pairs = [(layer.keys.expand(shape), layer.values.expand(shape)) for layer in prefix.layers]
    return Fixed(pairs)
