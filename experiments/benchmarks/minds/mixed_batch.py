"""Sixty-four minds in one batch against the bare base, PEFT's adapter names, and merge and swap.

Adapters have random factors: the time of a product does not depend on its numbers.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evobourse.agents.observation import render_rules
from evobourse.experiments.benchmarks.minds.subject import Subject, expand_prefix, real_prompts
from evobourse.experiments.planner.shapes import KNOWN
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.int8 import quantize_int8
from evobourse.merge.engine.parts import Prefix
from evobourse.merge.peft.folder import Adapter
from evobourse.merge.peft.write import write_adapter
from evobourse.merge.sources import DEFAULT_BASE

ROWS, TOKENS, ADAPTERS, RANK = 64, 24, 8, 8
PEFT_ROWS, PEFT_SWAPS = 16, 2
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj")
LARGE = "mistralai/Mistral-7B-v0.3"


@dataclass(frozen=True)
class Overhead:
    """Seconds of one pass over a batch, the fastest of several that took turns."""

    bare: float
    mixed: float

    @property
    def ratio(self) -> float:
        """Time of different minds in every row over the bare base's."""
        return self.mixed / self.bare


def random_adapters(model: Any, layers: range, rng: torch.Generator) -> tuple[Adapter, ...]:
    """Make K ordinary LoRA adapters of the shipped modules on some layers of a model."""

    def factors() -> dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]:
        made = {}
        for layer in layers:
            for module in MODULES:
                linear = model.model.layers[layer].get_submodule(module)
                down = torch.randn(RANK, linear.in_features, generator=rng)
                up = torch.randn(linear.out_features, RANK, generator=rng)
                made[layer, module] = (down / linear.in_features**0.5, 0.1 * up)
        return made

    return tuple(Adapter(f"adapter-{k}", factors(), None, f"{k}") for k in range(ADAPTERS))


def time_overhead(
    decoder: Decoder, bank: AdapterBank, hidden: torch.Tensor, prefix: Prefix, repeats: int
) -> Overhead:
    """Time a batch bare and with a different mixture in every row, in turns."""
    rng = torch.Generator().manual_seed(1)
    minds = torch.randn(len(hidden), bank.blocks, len(bank.adapters), generator=rng)

    def bare() -> None:
        decoder.run(hidden, 0, decoder.depth, prefix)

    def mixed() -> None:
        with bank.mixed(minds):
            decoder.run(hidden, 0, decoder.depth, prefix)

    times = alternate([bare, mixed], repeats)
    return Overhead(*(min(own) for own in times))


def alternate(ways: list[Callable[[], None]], repeats: int) -> list[list[float]]:
    """Time several ways in turns, after one turn that does not count: seconds a way and turn."""
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(repeats + 1):
        for way, own in zip(ways, times, strict=True):
            began = time.perf_counter()
            way()
            if turn:
                own.append(time.perf_counter() - began)
    return times


def small_overhead(subject: Subject, layers: range, repeats: int) -> Overhead:
    """Time 64 minds on the 135M model, over the real rules, with adapters on some layers."""
    model = copy.deepcopy(subject.model)
    quantize_int8(model)
    bank = AdapterBank(model, random_adapters(model, layers, torch.Generator().manual_seed(0)))
    decoder = Decoder(model)
    rules = decoder.embed([list(subject.tokens(render_rules()))])
    _, prefix = decoder.run(rules, 0, decoder.depth)
    hidden = decoder.embed(real_prompts(subject, ROWS, TOKENS))
    return time_overhead(decoder, bank, hidden, prefix, repeats)


def large_overhead(layers: int, repeats: int) -> Overhead:
    """Time 64 minds on a few decoder layers of Mistral-7B's shape, with random weights."""
    from transformers import MistralConfig, MistralForCausalLM

    shape = KNOWN[LARGE]
    config = MistralConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=64,
        sliding_window=None,
    )
    rng = torch.Generator().manual_seed(0)
    model = MistralForCausalLM(config)
    model.eval()
    quantize_int8(model)
    bank = AdapterBank(model, random_adapters(model, range(layers), rng))
    decoder = Decoder(model)
    _, prefix = decoder.run(torch.randn(1, 119, shape.hidden, generator=rng), 0, layers)
    hidden = torch.randn(ROWS, TOKENS, shape.hidden, generator=rng)
    return time_overhead(decoder, bank, hidden, prefix, repeats)


@dataclass(frozen=True)
class PeftTimes:
    """PEFT's own ways on the 135M model in bf16, seconds.

    Attributes
    ----------
    bare
        A batch of all rows without adapters.
    names
        The same batch with another mixture's name in every row, scaled from `PEFT_ROWS` rows.
    swap
        One mind after another folded into the weights, asked, and taken out; scaled.
    build
        Making the mixtures, scaled.
    """

    bare: float
    names: float
    swap: float
    build: float


@torch.inference_mode()
def peft_times(subject: Subject) -> PeftTimes:
    """Time PEFT on prompts whose rules it need not read either."""
    from peft import PeftModel

    source = copy.deepcopy(subject.model)
    layers = range(source.config.num_hidden_layers)
    adapters = random_adapters(source, layers, torch.Generator().manual_seed(0))
    rules = torch.tensor([subject.tokens(render_rules())])
    ids = torch.tensor(real_prompts(subject, ROWS, TOKENS))
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="bench-minds-") as scratch:
        for adapter in adapters:
            write_adapter(adapter, Path(scratch) / adapter.name, DEFAULT_BASE)
        first, *others = [adapter.name for adapter in adapters]
        tuned: Any = PeftModel.from_pretrained(
            source.to(torch.bfloat16),
            Path(scratch) / first,
            adapter_name=first,
            autocast_adapter_dtype=False,
        )
        for name in others:
            tuned.load_adapter(Path(scratch) / name, name, autocast_adapter_dtype=False)
    minds = [f"mind-{n:02d}" for n in range(PEFT_ROWS)]
    began = time.perf_counter()
    for mind in minds:
        weights = rng.normal(size=ADAPTERS).tolist()
        names = [first, *others]
        tuned.add_weighted_adapter(names, weights, mind, combination_type="cat")
    build = time.perf_counter() - began
    with tuned.disable_adapter():
        prefix = tuned(input_ids=rules, use_cache=True).past_key_values

    def ask(rows: int, **how: Any) -> None:
        cache = expand_prefix(prefix, rows)
        tuned(input_ids=ids[:rows], past_key_values=cache, logits_to_keep=1, **how)

    def bare() -> None:
        with tuned.disable_adapter():
            ask(ROWS)

    def swap() -> None:
        for mind in minds[:PEFT_SWAPS]:
            tuned.set_adapter(mind)
            tuned.merge_adapter()
            ask(1)
            tuned.unmerge_adapter()

    ways = [bare, lambda: ask(PEFT_ROWS, adapter_names=minds), swap]
    bare_s, names_s, swap_s = (min(own) for own in alternate(ways, 2))
    wider = ROWS / PEFT_ROWS
    return PeftTimes(bare_s, names_s * wider, swap_s * ROWS / PEFT_SWAPS, build * wider)
