"""Replies of completion servers: their shapes, and whether what they list is a distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evobourse.agents.observation import OPTIONS

LEAST_LOGPROB = -80.0
"""No float32 softmax reaches it: -9999, -100, the least float and the like stand for "none"."""
ROUNDING = 0.02
"""By which probabilities may add up to more than 1, where a server rounds their logarithms."""
LEAST_SHARE = 1e-6
"""Of an average token in the largest vocabularies: the likeliest ones hold as much each."""
EXACTLY_ONE = 1e-6


class NoDistribution(Exception):
    """Numbers in the place of log probabilities that are none; asking again changes nothing."""


def tokens_used(reply: Mapping[str, Any], otherwise: int) -> int:
    """Return what a reply says it cost, or else another number, where it does not say."""
    used = (reply.get("usage") or {}).get("total_tokens")
    return otherwise if used is None else int(used)


def read_listed(reply: Mapping[str, Any], top: int) -> dict[str | int, float]:
    """Read the listed next tokens of a reply, by text and by id where it is said.

    Two shapes are understood: ``logprobs.top_logprobs[0]``, a mapping of text (or
    ``token_id:N``) to logprob, as in OpenAI's completions, vLLM and SGLang; and
    ``logprobs.content[0].top_logprobs``, a list of tokens, as in llama.cpp. A field that is null
    is one that is not there.

    Parameters
    ----------
    reply
        What the server sent.
    top
        Tokens that were asked for.

    Raises
    ------
    NoDistribution
        The numbers are no log probabilities of the likeliest tokens.
    ValueError, TypeError, KeyError, IndexError
        The reply has another shape, or holds no number where one should be.
    """
    logprobs = reply["choices"][0]["logprobs"]
    listed: dict[str | int, float] = {}
    if logprobs.get("content") is not None:
        entries = logprobs["content"][0]["top_logprobs"]
        values = [_number(entry["logprob"]) for entry in entries]
        for entry, value in zip(entries, values, strict=True):
            if entry.get("token") is not None:
                listed[str(entry["token"])] = value
            if entry.get("id") is not None:
                listed[int(entry["id"])] = value
    else:
        entries = logprobs["top_logprobs"][0]
        values = [_number(value) for value in entries.values()]
        for text, value in zip(entries, values, strict=True):
            name, _, number = text.partition("token_id:")
            listed[int(number) if not name and number.isdigit() else text] = value
    if not values:
        raise ValueError("no token is listed")
    _check(values, top)
    return listed


def read_echoed(reply: Mapping[str, Any], endings: Sequence[str | int]) -> dict[str | int, float]:
    """Read the log probability of each ending from the echoes of a prompt that ends in it.

    The last token of an echo is the one generated, the last but one the ending. An echo whose
    ending was read as another token, or glued to what stands before it, is refused.

    Raises
    ------
    NoDistribution
        The numbers are no log probabilities of different tokens.
    ValueError, TypeError, KeyError, IndexError
        The reply has another shape, or holds no number where one should be.
    """
    choices = list(reply["choices"])
    if all(choice.get("index") is not None for choice in choices):
        choices.sort(key=lambda choice: int(choice["index"]))
    found: dict[str | int, float] = {}
    for ending, choice in zip(endings, choices, strict=True):
        token, value = (choice["logprobs"][key][-2] for key in ("tokens", "token_logprobs"))
        if token != f"token_id:{ending}" and token.strip(" \u2581") != str(ending).strip():
            raise ValueError(f"ends in {token!r}")
        found[ending] = _number(value)
    _check_each(list(found.values()))
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _check(values: Sequence[float], top: int) -> None:
    """Refuse values that are no log probabilities of the likeliest of a model's tokens."""
    total = _check_each(values)
    if len(values) < len(OPTIONS):
        raise NoDistribution(
            f"{len(values)} tokens are listed where {top} were asked for, too few to tell "
            f"{len(OPTIONS)} options apart; let the server list more"
        )
    if total < len(values) * LEAST_SHARE:
        raise NoDistribution(
            f"the likeliest {len(values)} tokens have a probability of {total:.2g} together"
        )
    if len(values) < top and abs(total - 1) < EXACTLY_ONE:
        raise NoDistribution(
            f"{len(values)} of the {top} tokens asked for have all probability, as behind top_k "
            "or top_p; let the server list them before it samples"
        )


def _check_each(values: Sequence[float]) -> float:
    """Refuse what no log probabilities of different tokens can be; return their probability."""
    for value in values:
        if not LEAST_LOGPROB < value < ROUNDING:
            raise NoDistribution(
                f"received {value:g}, expected natural logarithms of probabilities, such as -1.5; "
                "-inf and numbers that stand for it come of a server that cuts tokens off (top_k, "
                "top_p, min_p) or answers at temperature 0: let it list what the model says"
            )
    total = math.fsum(map(math.exp, values))
    if total > 1 + ROUNDING:
        raise NoDistribution(f"probabilities of {len(values)} tokens add up to {total:.3g}")
    return total
