"""The plan against published counts, the issue's figures on paper, and the real engine's bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.observation import (
    INVOCATION,
    VIEWS,
    decode_view,
    possible_views,
    render_rules,
    render_view,
)
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.planner.chips import CHIPS, find_chip
from evobourse.experiments.planner.request import Typed, plan_for
from evobourse.experiments.planner.roofline import (
    SHARED_TOKENS,
    Load,
    count_views,
    fitting_minds,
    fitting_rows,
    layer_seconds,
    memory_parts,
    opening_bytes,
    paper_rate,
    private_tokens,
    questions_seconds,
)
from evobourse.experiments.planner.shapes import KNOWN, find_shape
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.sources import DEFAULT_BASE, resolve_model

ROOT = Path(__file__).parents[3]
MISTRAL = KNOWN["mistralai/Mistral-7B-v0.3"]
LOAD = Load(minds=300, views=1170)


def evobourse(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evobourse.experiments.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


# Shapes


@pytest.mark.parametrize(
    ("base", "published"),
    [
        ("mistralai/Mistral-7B-v0.3", 7_248_023_552),
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("meta-llama/Meta-Llama-3-8B", 8_030_261_248),
        ("Qwen/Qwen2.5-7B", 7_615_616_512),
        (DEFAULT_BASE, 134_515_008),
    ],
)
def test_every_known_shape_has_its_published_number_of_parameters(base, published):
    assert KNOWN[base].parameters == published


def test_a_folder_says_the_same_as_the_table(smol):
    read, known = find_shape(resolve_model(DEFAULT_BASE)), KNOWN[DEFAULT_BASE]
    assert replace(read, name=known.name, source=known.source) == known
    assert read.parameters == sum(p.numel() for p in smol[0].parameters())


def test_a_shape_can_be_typed_and_must_be_whole():
    figures = {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768,
    }  # fmt: skip
    shape = plan_for("mine", figures, None, Typed(7, 8), "h100").shape
    assert shape.parameters == MISTRAL.parameters
    with pytest.raises(ConfigError, match=r"hidden_size is not given; give all of --layers"):
        plan_for("mine", {**figures, "hidden_size": None}, None, Typed(7, 8), "h100")


# On paper


def test_the_reference_points_of_a_7b_on_an_h100_come_out():
    """4,760 decisions a second with a shared prefix of 120 tokens and 24 of their own, 794 without.

    They are 1,600 INT8 operations a nanosecond, NVIDIA's preliminary figure for the PCIe card,
    over two for each of 7 billion parameters and token.
    """
    chip = replace(CHIPS["h100"], int8=1600e12)
    assert paper_rate(chip, 7e9, 24) == pytest.approx(4760, rel=1e-3)
    assert paper_rate(chip, 7e9, 120 + 24) == pytest.approx(794, rel=1e-3)


def test_the_smallest_slice_holds_a_7b_with_16_adapters_and_batches_of_64():
    small = CHIPS["h100"].cut()[0]
    assert (small.name, small.memory) == ("1g.10gb", 10e9)
    load = replace(LOAD, adapters=16)
    rows = fitting_rows(MISTRAL, load, small.memory)
    assert 64 <= rows < 256
    assert sum(memory_parts(MISTRAL, load, rows).values()) <= small.memory
    assert sum(memory_parts(MISTRAL, load, rows + 1).values()) > small.memory
    assert fitting_rows(MISTRAL, load, 8e9) == 0


def test_the_whole_chip_as_one_slice_is_the_chip():
    for chip in (CHIPS["h100"], CHIPS["h200"]):
        whole = chip.cut()[-1]
        figures = ("memory", "bandwidth", "bf16", "int8")
        assert [getattr(whole, f) for f in figures] == [getattr(chip, f) for f in figures]


def test_larger_batches_and_fewer_minds_never_cost_more():
    chip = CHIPS["h100"]
    per_row = [layer_seconds(MISTRAL, LOAD, chip, rows) / rows for rows in (1, 4, 16, 64, 256)]
    assert per_row == sorted(per_row, reverse=True)
    each = [questions_seconds(MISTRAL, replace(LOAD, minds=m), chip, 256) / m for m in (1, 8, 64)]
    assert each == sorted(each, reverse=True)  # the trunk is shared
    alone = questions_seconds(MISTRAL, replace(LOAD, minds=1, adapted_share=0.0), chip, 256)
    whole = questions_seconds(MISTRAL, replace(LOAD, minds=1, adapted_share=1.0), chip, 256)
    assert alone == pytest.approx(whole)
    more = fitting_minds(MISTRAL, LOAD, 80e9, 64)
    assert fitting_minds(MISTRAL, LOAD, 40e9, 64) < more


# Against the engine


def test_the_plan_counts_the_prompts_tokens_and_views(tokenizer):
    def count(text):
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    opening = render_rules() + INVOCATION
    assert count(opening) == SHARED_TOKENS
    for view, fields in ((0, 0), (VIEWS - 1, 6)):
        assert count(render_rules() + render_view(view)) == SHARED_TOKENS + private_tokens(fields)
    assert [count_views(a) for a in range(7)] == [len(possible_views(a)) for a in range(7)]


def test_the_planned_bytes_are_the_engines(fresh_engine):
    engine = fresh_engine()
    views = np.arange(VIEWS)
    views = views[(decode_view(views) >= 0).all(axis=1)][:8]
    engine.answer(np.array([[0.5, 0.2, 0.1]], np.float32), views)
    model, bank, depth = engine.decoder.model, engine.bank, engine.decoder.depth
    load = Load(1, 8, SHARED_TOKENS, private_tokens(6), 3, 8, (depth - bank.first_layer) / depth)
    shape = KNOWN[DEFAULT_BASE]
    parts = memory_parts(shape, load, 8)

    layers = [m for m in model.modules() if isinstance(m, Int8Linear)]
    assert parts["base, INT8 layers"] == sum(m.weight.nbytes + m.scale.nbytes for m in layers)
    assert parts["embedding and head, fp32"] == model.model.embed_tokens.weight.nbytes
    factors = [f for a in bank.adapters for pair in a.factors.values() for f in pair]
    assert parts["3 adapters, fp32"] == sum(f.nbytes for f in factors)
    nodes = [thing for thing, _ in engine.budget._things.values() if hasattr(thing, "hidden")]
    # A batch puts the rules' upper keys and values, which all minds share, before a mind's own.
    upper = [n for n in nodes if n.hidden is None]
    assert opening_bytes(shape, load) == sum(node.past.nbytes for node in upper) + 3 * 4
    trunk = sum(node.hidden.nbytes for node in nodes if node.past is None)
    assert parts["trunk, one row a view"] == trunk


# The command


def test_the_plan_is_made_without_torch_and_says_everything():
    script = (
        "import sys\nfrom evobourse.experiments.cli.main import main\n"
        "sys.argv = ['evobourse', 'plan', '--base', 'mistralai/Mistral-7B-v0.3', '--minds', '300', "
        "'--agents', '1000', '--gpu', 'h100', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'transformers', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text, loaded = done.stdout.strip().splitlines()
    assert loaded == "[]"
    plan = json.loads(text)
    assert [p["name"] for p in plan["places"]][1:] == [
        "1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb",
    ]  # fmt: skip
    assert plan["places"][0]["used"] == pytest.approx(sum(plan["memory"].values()))
    assert plan["paper"]["shared_prefix"] / plan["paper"]["whole_prompts"] == pytest.approx(6)
    hours = plan["sweep"]["hours"]
    assert hours["total"] == pytest.approx(sum(hours.values()) - hours["total"])
    assert hours["answering"] > 0


def test_the_screen_shows_every_number_whole_in_80_columns():
    done = evobourse("plan", "--config", "experiments/quickstart.yaml", "--gpu", "h100")
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    assert "expected of this engine" in done.stdout
    assert "1g.10gb" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base", "nowhere"), "base 'nowhere': no folder with a config.json"),
        (("--base", "no-one/nothing"), "the hub gives no config.json"),
        (("--gpu", "h1000"), "--gpu 'h1000': unknown; known: h100, h100-pcie, h200, a100 and cpu"),
    ],
)
def test_what_is_unknown_is_one_line_that_says_what_to_give(arguments, said):
    done = evobourse("plan", *arguments, HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    if "--base" in arguments:
        assert "--layers --hidden --intermediate --heads --kv-heads --vocabulary" in done.stderr


def test_this_machines_processor_is_a_chip():
    chip = find_chip("cpu")
    assert chip.bf16 >= 1e9
    assert 1e8 < chip.bandwidth < 1e13
    assert chip.memory > 1e9
