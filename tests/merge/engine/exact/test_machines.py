"""The engine's answers, to the last bit, as other processors compute them."""

import os
import subprocess
import sys

import pytest

from evobourse.experiments.benchmarks.machine_drill.bench import PROCESSORS

SCRIPT = """
import numpy as np
import torch

from evobourse.agents.minds.engine import MindEngine
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.generation import Sampling, write_texts
from evobourse.merge.engine.loading import load_quantized
from evobourse.merge.engine.sequences import SequenceReader, TokenSequence
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.sources import DEFAULT_BASE
import sys
from pathlib import Path

model, tokenizer, name = load_quantized(DEFAULT_BASE)
bank = AdapterBank(model, tuple(map(read_adapter, map(Path, sys.argv[1:]))))
engine = MindEngine(model, tokenizer, bank, name)
minds = [np.array([[0.7, -0.2]], np.float32), np.array([[0.0, 1.3]], np.float32)]
views = np.array([0, 17, 4711, 9_210])
for mind in minds:
    engine.ask(mind, views)
for mind in minds:
    print(engine.answer(mind, views).tobytes().hex())
reader, sequence = SequenceReader(engine.decoder, bank), TokenSequence()
reader.read([sequence], [engine.tokenize("The market fell, and")], minds[:1])
print(write_texts(reader, [sequence], minds[:1], Sampling(4)))
"""


@pytest.mark.slow
def test_answers_and_texts_are_the_same_bytes_on_other_processors(fetched_base, style_folders):
    folders = [str(style_folders[name]) for name in ("momentum", "value")]

    def answers(name, threads):
        variables = dict(PROCESSORS[name]) | {"OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *folders],
            env=os.environ | variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    expected = answers("this one", "1")
    assert len(set(expected.splitlines())) == 3
    for name, threads in (("this one", "2"), ("Zen (AVX2)", "1"), ("Nehalem (SSE4.2)", "2")):
        assert answers(name, threads) == expected, name


SMALL = """
import hashlib

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.int8 import quantize_int8

model = LlamaForCausalLM(LlamaConfig(
    hidden_size=96, intermediate_size=200, num_hidden_layers=3, num_attention_heads=6,
    num_key_value_heads=2, head_dim=16, vocab_size=500,
))
draw = np.random.default_rng(0)
for weight in model.parameters():
    whole = draw.integers(-255, 256, weight.shape)  # numpy's normal numbers call a library
    weight.data = torch.from_numpy(whole.astype(np.float32) / 1024)
decoder = Decoder(quantize_int8(model))
tokens = draw.integers(0, 500, (70, 21)).tolist()
_, prefix = decoder.run(decoder.embed(tokens[:1]), 0, 3)
states, _ = decoder.run(decoder.embed(tokens), 0, 3, prefix)
logits = decoder.option_logits(states[:, -1], range(9))
found = [states, logits, *decoder.likeliest(states[:, 0], 9)]
print(hashlib.sha256(b"".join(part.numpy().tobytes() for part in found)).hexdigest())
"""

DIGEST = "cdad1ddce0c32c3fed850d54ab02fd454a95307be03a879923155a4bbe3ad6cf"
"""Of the small model's states and logits, on every processor: whoever changes it says so."""


@pytest.mark.parametrize("name", ["this one", "Haswell (AVX2)"])
def test_a_small_model_has_the_known_bytes(name):
    done = subprocess.run(
        [sys.executable, "-c", SMALL],
        env=os.environ | dict(PROCESSORS[name]), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == DIGEST
