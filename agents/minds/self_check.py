"""A base proves itself when it is opened: its answers against transformers' own forward."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from scipy.special import softmax

from evobourse import merge
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import (
    CUE,
    INVOCATION,
    LEVELS,
    encode_view,
    render_choices,
    render_rules,
    render_view,
)
from evobourse.market.durable import replace_bytes
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.loading import local_folder
from evobourse.merge.engine.prompt import Prompt
from evobourse.merge.errors import ModelError, foreign_code
from evobourse.merge.reference import reference_logits
from evobourse.merge.sources import cache_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

LEAST_CORRELATION = 0.98
MOST_VARIATION = 0.1
"""What a base must keep to over all prompts, and in its worst; docs/decisions/112 has what INT8
costs."""

_WIDEST_WINDOW = 1024
_NEUTRAL: tuple[Any, ...] = (
    None,
    False,
    0,
    1,
    1.0,
    [],
    {},
    "",
    "silu",
    "default",
    "full_attention",
)


@dataclass(frozen=True)
class Fidelity:
    """How near a base's answers come to transformers' own.

    Attributes
    ----------
    correlation
        Of option logits, each prompt's centred.
    variation
        Total variation of the choices at temperature 1, in 0..1, in the worst prompt.
    prompts
        How many were compared.
    """

    correlation: float
    variation: float
    prompts: int


def prove_base(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, base_hash: str
) -> Fidelity:
    """Compare a base that was opened for minds with transformers' own forward of its files.

    A few short prompts are answered by both; the reference has the weights as stored, in float32,
    module by module. What was found is kept in the cache folder by all that it depends on, so that
    the same base is not compared twice.

    Parameters
    ----------
    name
        See `merge.sources.resolve_model`.
    model, tokenizer, base_hash
        What `merge.engine.loading.load_quantized` returned, before adapters are attached.

    Raises
    ------
    ModelError
        The answers differ by more than precision costs, or are no numbers, or either cannot
        answer.
    """
    engine = MindEngine(model, tokenizer, AdapterBank(model, ()), base_hash)
    prompts = _prompts(engine)
    key = _key(engine, model.config, prompts)
    file = cache_folder() / "proved" / f"{key}.json"
    if file.is_file():
        return Fidelity(**json.loads(file.read_text()))
    nobody = np.zeros((1, 0), np.float32)
    with foreign_code(f"base {name!r}: its layers cannot be run here{_because(model.config)}"):
        ours = engine.answer_prompts(nobody, prompts)
    ids = [[token for token in prompt.tokens if isinstance(token, int)] for prompt in prompts]
    exact = reference_logits(name, local_folder(name), ids, engine.options)
    if not np.isfinite(exact).all():
        raise ModelError(
            f"base {name!r}: transformers' own forward gives logits that are no numbers; its "
            "weights are damaged: use another"
        )
    found = compare(ours, exact)
    if not (found.correlation >= LEAST_CORRELATION and found.variation <= MOST_VARIATION):
        raise ModelError(
            f"base {name!r}: does not answer as transformers' own forward does (correlation of "
            f"option logits {found.correlation:.3f}, expected {LEAST_CORRELATION} and more; worst "
            f"total variation of choices {found.variation:.3f}, expected {MOST_VARIATION} at most)"
            f"{_because(model.config)}; use another base"
        )
    with contextlib.suppress(FileNotFoundError):  # another process has just put the same there
        replace_bytes(file, json.dumps(asdict(found)).encode())
    return found


def compare(ours: NDArray[np.float32], exact: NDArray[np.float32]) -> Fidelity:
    """Compare option logits float32[n, 5] with those of a reference."""
    first, second = np.asarray(ours, np.float64), np.asarray(exact, np.float64)
    distance = np.abs(softmax(first, axis=1) - softmax(second, axis=1)).sum(axis=1) / 2
    first, second = (x - x.mean(axis=1, keepdims=True) for x in (first, second))
    size = np.sqrt((first * first).sum() * (second * second).sum())
    correlation = (first * second).sum() / size if size else float(np.array_equal(first, second))
    return Fidelity(float(correlation), float(distance.max()), len(ours))


def _prompts(engine: MindEngine) -> list[Prompt]:
    """Write prompts that have every word of a view, short, and one longer than a window."""
    levels = np.minimum(np.arange(max(LEVELS))[:, None], np.array(LEVELS) - 1)
    views = [*encode_view(levels, np.ones(levels.shape, np.bool_)).tolist(), 0]
    words = [render_view(view).removeprefix(INVOCATION) for view in views]
    made = [engine.text_prompt(render_choices(), step) for step in words]
    window = getattr(engine.decoder.model.config, "sliding_window", None)
    if window and window <= _WIDEST_WINDOW:
        times = 1 + (window + len(made[0].tokens)) // len(engine.rules)
        made.append(engine.text_prompt(" ".join([render_rules()] * times), CUE))
    return made


def _key(engine: MindEngine, config: PretrainedConfig, prompts: list[Prompt]) -> str:
    """Name a comparison by what its outcome depends on: the code that answers among it."""
    code = hashlib.sha256()
    here = Path(merge.__file__).parent
    for place in (*sorted(here.glob("engine/**/*.py")), here / "reference.py", Path(__file__)):
        code.update(place.read_bytes())
    told = {k: v for k, v in config.to_dict().items() if k != "_name_or_path"}
    scope: list[Any] = [code.hexdigest(), engine.base_hash, engine.decoder.engine, told]
    scope += [torch.__version__, transformers.__version__, [prompt.names for prompt in prompts]]
    return hashlib.sha256(json.dumps(scope, default=str, sort_keys=True).encode()).hexdigest()


def _because(config: PretrainedConfig) -> str:
    """Name what a config says that a plain Llama's would not."""
    plain = transformers.LlamaConfig()
    known, own = set(plain.to_dict()), config.to_dict()
    odd = [
        f"{key} {value!r}"
        for key, value in own.items()
        if (key not in known or key == "hidden_act")
        and not key.startswith(("_", "output_", "use_cache"))
        and not (value is not True and value in _NEUTRAL)
        and not isinstance(value, list)
    ]
    rope = (own.get("rope_parameters") or {}).get("rope_type", "default")
    odd += [f"rope_type {rope!r}"] if rope != "default" else []
    kind = type(config).__name__.removesuffix("Config")
    told = f": {', '.join(odd[:6])}" if odd else ""
    return f"; likely for what {kind} adds to a plain Llama{told}" if odd or kind != "Llama" else ""
