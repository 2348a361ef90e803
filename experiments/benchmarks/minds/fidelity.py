"""How far INT8 moves the choices of a mind from fp32, bare and with styles at work.

Measured on the whole distribution: a bare model's first choice is the same for nearly every prompt.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.experiments.benchmarks.minds.subject import Subject, expand_prefix, softmax
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.engine.prompt import Prompt, Token

ROWS = 32


@dataclass(frozen=True)
class Fidelity:
    """INT8 against fp32 over many prompts, for one mind.

    Attributes
    ----------
    name
        The mind.
    mean, worst
        Total variation of the five options' probabilities.
    mean_bf16
        With the same weights and bf16 activations, as a GPU has them.
    correlation
        Of p(buy) - p(sell), strong ones included.
    """

    name: str
    mean: float
    worst: float
    mean_bf16: float
    correlation: float


def measure_fidelity(
    subject: Subject, minds: dict[str, NDArray[np.float32]], prompts: Sequence[Prompt]
) -> list[Fidelity]:
    """Compare every mind, coefficients float32[K], with PEFT's answers on the fp32 model."""
    engine, rough, rows = subject.fresh_engine(), subject.fresh_engine(), []
    rough.decoder.exact = False
    with tempfile.TemporaryDirectory(prefix="bench-minds-") as scratch:
        exact = ExactMinds(subject, Path(scratch), prompts[0].shared)
        for mind in minds.values():
            engine.ask_prompts(mind[None], prompts)
            rough.ask_prompts(mind[None], prompts)
        for name, mind in minds.items():
            ours = softmax(engine.answer_prompts(mind[None], prompts))
            in_bf16 = softmax(rough.answer_prompts(mind[None], prompts))
            rows.append(compare(name, ours, in_bf16, softmax(exact.answer(name, mind, prompts))))
    return rows


def compare(
    name: str,
    ours: NDArray[np.float64],
    in_bf16: NDArray[np.float64],
    exact: NDArray[np.float64],
) -> Fidelity:
    """Compare probabilities float64[n, 5] with those of fp32."""
    gap, rough = (0.5 * np.abs(x - exact).sum(axis=1) for x in (ours, in_bf16))
    lean = [chances @ np.array([-1.0, -1.0, 0.0, 1.0, 1.0]) for chances in (ours, exact)]
    correlation = float(np.corrcoef(*lean)[0, 1])
    return Fidelity(name, float(gap.mean()), float(gap.max()), float(rough.mean()), correlation)


class ExactMinds:
    """The fp32 model with PEFT's adapters, which act on the private part alone.

    Parameters
    ----------
    subject
        Its model is left as it was after `close`.
    folder
        For copies of the adapters as ordinary LoRA: PEFT finds no invocation in a prompt whose
        beginning it need not read.
    shared
        Tokens of the prefix, read once by the bare model.
    """

    def __init__(self, subject: Subject, folder: Path, shared: Sequence[Token]):
        from peft import PeftModel

        self.options = list(subject.engine.options)
        self.styles = list(subject.styles)
        for path in subject.experiment.adapters:
            shutil.copytree(path, folder / path.name)
            file = folder / path.name / "adapter_config.json"
            settings = json.loads(file.read_text()) | {"alora_invocation_tokens": None}
            file.write_text(json.dumps(settings))
        first, *others = self.styles
        copied = copy.deepcopy(subject.model)
        self._tuned: Any = PeftModel.from_pretrained(copied, folder / first, adapter_name=first)
        for name in others:
            self._tuned.load_adapter(folder / name, name)
        with torch.inference_mode(), self._tuned.disable_adapter():
            ids = torch.tensor([list(shared)])
            self._prefix = self._tuned(input_ids=ids, use_cache=True).past_key_values

    @torch.inference_mode()
    def answer(
        self, name: str, mind: NDArray[np.float32], prompts: Sequence[Prompt]
    ) -> NDArray[np.float32]:
        """Return option logits float32[n, 5] of PEFT's own weighted adapter of that name."""
        if not mind.any():
            with self._tuned.disable_adapter():
                return self._read(prompts)
        mixture = f"mixture {name}".replace(".", "")
        self._tuned.add_weighted_adapter(
            self.styles, mind.tolist(), mixture, combination_type="cat"
        )
        self._tuned.set_adapter(mixture)
        answers = self._read(prompts)
        self._tuned.set_adapter(self.styles[0])
        self._tuned.delete_adapter(mixture)
        return answers

    def _read(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        private = [prompt.tokens[len(prompt.shared) :] for prompt in prompts]
        logits = np.empty((len(prompts), len(self.options)), np.float32)
        for length in set(map(len, private)):
            same = [n for n, tokens in enumerate(private) if len(tokens) == length]
            for at in range(0, len(same), ROWS):
                rows = same[at : at + ROWS]
                ids = torch.tensor([private[n] for n in rows])
                cache = expand_prefix(self._prefix, len(rows))
                out = self._tuned(input_ids=ids, past_key_values=cache, logits_to_keep=1).logits
                logits[rows] = out[:, -1, self.options].numpy()
        return logits


def bytes_per_weight(engine: MindEngine) -> tuple[float, float]:
    """Count bytes a weight: of the quantised decoder, scales included, and of the whole model."""
    model = engine.decoder.model
    linears = [module for module in model.modules() if isinstance(module, Int8Linear)]
    held = sum(linear.weight.nbytes + linear.scale.nbytes for linear in linears)
    weights = sum(linear.in_features * linear.out_features for linear in linears)
    others = list(model.parameters())  # a tied head is listed once
    whole = held + sum(parameter.nbytes for parameter in others)
    return held / weights, whole / (weights + sum(parameter.numel() for parameter in others))
