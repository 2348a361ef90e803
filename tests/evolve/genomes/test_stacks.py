"""Stacks and cores on the real 135M model: what the engine answers, and what others run of it."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evobourse import agents
from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.minds.engine import MindEngine, hash_weights
from evobourse.agents.observation import decode_view, possible_views, render_view
from evobourse.evolve.bases.merged import MergedBases
from evobourse.evolve.bundle import Bundle, Reference, load_bundle, write_bundle
from evobourse.evolve.errors import RunError
from evobourse.evolve.export import export_base, export_mind, export_models
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.sweep.setup import MERGED, build_experiment
from evobourse.market.rules import MarketRules
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.int8 import quantize_int8
from evobourse.merge.errors import RecipeError
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.recipes.layer_stack import LayerStack, stack_model
from evobourse.merge.recipes.recipe import Recipe, load_source
from evobourse.merge.recipes.stack_recipe import StackRecipe, stack_states
from evobourse.merge.sources import load_model

ROOT = Path(agents.__file__).parents[2]
SHIPPED = ROOT / "agents"
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"
BASE, TREND, VALUE = "smollm2-135m-instruct", "trend-follower", "value-investor"
STYLES = ("momentum", "value")
MERGE = Recipe("task_arithmetic", BASE, (TREND, VALUE), ((0.4, 0.2), (0.1, 0.5)))
BARE = np.zeros((1, 2), np.float32)
STYLED = np.array([[0.7, -0.4]], np.float32)


def of(name, first=0, last=30):
    return [(name, number) for number in range(first, last)]


def stacked(*layers, scales=None, merges=None):
    path = [place for part in layers for place in part]
    stack = LayerStack(tuple(path), scales or (1.0,) * len(path))
    return StackRecipe(BASE, stack, merges or {})


REPEATING = stacked(of(BASE, 0, 27), of(TREND, 25, 29), of(BASE, 28))  # 33 layers


@pytest.fixture(scope="module")
def bases(smol, make_engine):
    base = smol[0].state_dict()
    styles = [SHIPPED / "adapters" / style for style in STYLES]
    engine = make_engine(styles, own_weights=True)
    folders = {name: SHIPPED / "sources" / name for name in (TREND, VALUE)}
    sources = {name: load_source(name, folder, base) for name, folder in folders.items()}
    return MergedBases(engine, base, "bare", sources, {name: f"hash {name}" for name in folders})


@pytest.fixture(scope="module")
def views(market_views):
    """Four real views of one length: one batch."""
    return market_views[(decode_view(market_views) >= 0).sum(axis=1) == 4][:4]


@pytest.fixture(scope="module")
def bundle(population, smol):
    who = population([(0.7, -0.4), (0.0, 0.9)], attention=1)
    return Bundle(
        "small",
        BASE,
        hash_weights(smol[0].state_dict()),
        1,
        REPEATING,
        tuple(SHIPPED / "adapters" / style for style in STYLES),
        tuple(SHIPPED / "sources" / name for name in (TREND, VALUE)),
        who,
        OffsetClusters((0.0,), (1.0,), (1.0,)),
        MarketRules(),
        np.arange(9_000, 10_000),
        Reference(10, 60, 1, ""),
    )


def answer(engine, views, *minds):
    return [engine.answer(mind, views) for mind in minds]


# What the engine answers


def test_the_base_as_a_stack_answers_as_the_base_bit_for_bit(bases, views):
    plain = answer(bases.serve(None), views, BARE, STYLED)
    computed = bases.engine.counters.computed
    np.testing.assert_array_equal(
        answer(bases.serve(stacked(of(BASE))), views, BARE, STYLED), plain
    )
    assert bases.engine.counters.computed == computed + 2 * len(views)  # asked anew, not recalled


def test_a_whole_source_and_a_whole_merge_answer_as_their_weights_do(bases, views):
    merged = answer(bases.serve(MERGE), views, BARE, STYLED)
    recipe = stacked(of("merged"), merges={"merged": MERGE})
    np.testing.assert_array_equal(answer(bases.serve(recipe), views, BARE, STYLED), merged)
    whole = answer(bases.serve(stacked(of(TREND))), views, STYLED)
    linear = Recipe("linear", BASE, (TREND,), ((1.0,),))
    np.testing.assert_array_equal(answer(bases.serve(linear), views, STYLED), whole)
    assert not np.allclose(whole[0], merged[1], atol=0.1)


def test_what_was_served_before_leaves_no_trace_in_a_stack(bases, smol, make_engine, views):
    other = Recipe("linear", BASE, (VALUE,), ((0.5,),), options={"normalize": False})
    bases.serve(other)
    first = answer(bases.serve(REPEATING), views, STYLED)
    bases.serve(stacked(of(VALUE)))
    bases.engine.budget.clear("answers")
    np.testing.assert_array_equal(answer(bases.serve(REPEATING), views, STYLED), first)
    bases.engine.budget.clear("answers")
    fresh = make_engine([SHIPPED / "adapters" / style for style in STYLES])
    bare = answer(bases.serve(None), views, STYLED)
    np.testing.assert_array_equal(bare, answer(fresh, views, STYLED))


def test_slots_share_their_modules_and_a_source_what_it_left_alone(bases):
    decoder = bases.serve(REPEATING).decoder
    slots, model = decoder.parts.slots, decoder.model.model
    assert [slot.layer is layer for slot, layer in zip(slots, model.layers, strict=False)] == (
        [True] * 27 + [False] * 3
    )
    assert slots[-2].layer is model.layers[28]
    own, base = slots[27].layer, model.layers[25]
    assert own.mlp.up_proj is base.mlp.up_proj
    changed = {
        name
        for name, module in own.named_modules()
        if hasattr(module, "site") and module is not base.get_submodule(name)
    }
    assert changed == {*(f"self_attn.{part}_proj" for part in "qvo"), "mlp.down_proj"}
    assert own.self_attn.q_proj.site is base.self_attn.q_proj.site
    assert (decoder.first_adapted, decoder.depth) == (24, 33)
    lower = bases.serve(stacked(of(BASE, 0, 3), of(TREND, 26), of(BASE, 3))).decoder
    assert lower.first_adapted == 3


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (stacked(of(BASE, 0, 29), [(TREND, 30)]), "'trend-follower' has no layer 30; it has 30"),
        (stacked(of(BASE), of("other", 0, 1)), r"'other' is unknown; known: \['trend-follower'"),
    ],
)
def test_what_is_not_there_is_refused_and_the_engine_goes_on(bases, recipe, message, views):
    before = answer(bases.serve(REPEATING), views, BARE)
    with pytest.raises(RecipeError, match=message):
        bases.serve(recipe)
    np.testing.assert_array_equal(answer(bases.serve(REPEATING), views, BARE), before)


# What others run of it


def test_an_exported_stack_and_its_mind_answer_with_the_engines_own_bits(
    bases, bundle, views, tmp_path
):
    export_base(bundle, tmp_path)
    mind = export_mind(bundle, "p0", tmp_path)
    model, tokenizer = load_model(str(tmp_path / "model"))
    assert len(model.model.layers) == 33
    bank = AdapterBank(quantize_int8(model), (read_adapter(mind),))
    engine = MindEngine(model, tokenizer, bank, "exported")
    ours = bases.serve(REPEATING)
    [bare, mixed] = answer(engine, views, np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32))
    np.testing.assert_array_equal(bare, ours.answer(BARE, views))
    # Coefficients are in B there and between the factors here: rounded to bf16 at other places.
    own = ours.answer(STYLED, views)
    np.testing.assert_allclose(mixed, own, atol=0.15)
    assert np.abs(own - bare).max() > 1


ASK = r"""
import json, re, sys
from torch import softmax
for card in sys.argv[1:]:
    code = re.search(r"```python\n(.*?)```", open(card).read(), re.S)[1]
    assert len(code.splitlines()) == 7
    exec(code)
    print(json.dumps(softmax(mind(**page).logits[0, -1, letters], 0).tolist()))
"""


def run_in(folder, *command):
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cards_and_recipe_of_an_export_run_as_written(
    bases, bundle, tmp_path, total_variation, smol
):
    [who, other] = bundle.population.personas
    cast = replace(bundle.population, personas=(replace(who, name="it's me"), other))
    merged = replace(bundle, recipe=MERGE, population=cast)
    made = export_models(merged, tmp_path)
    assert list(made) == ["model", "it's me", "p1"]
    plain = export_mind(merged, "p1", tmp_path / "plain", plain_lora=True)
    assert read_adapter(plain).invocation_tokens is None

    # Each mind by the lines of its card, against the engine.
    cards = [made[name] / "README.md" for name in ("it's me", "p1")]
    lines = run_in(tmp_path, "-c", ASK, *map(str, cards)).splitlines()
    told = np.array([json.loads(line) for line in lines if line.startswith("[")])
    engine = bases.serve(MERGE)
    text = (made["p1"] / "prompt.txt").read_text()
    page = np.array([v for v in possible_views(2) if text.endswith(render_view(int(v)))][:1])
    own = np.concatenate([engine.answer(mind.mind, page) for mind in cast.personas])
    asleep = np.repeat(engine.answer(BARE, page), len(own), axis=0)
    assert total_variation(own, np.log(told)).max() < 0.05
    assert total_variation(own, asleep).min() > 0.1

    # The recipe by the line of the README.
    readme = (tmp_path / "README.md").read_text()
    command = re.search(r"```\nmergekit-yaml (.*?)```", readme, re.S)[1].replace("\\\n", "").split()
    run_in(tmp_path, "-m", "mergekit.scripts.run_yaml", *command)
    again, model = (load_model(str(tmp_path / name))[0].state_dict() for name in ("again", "model"))
    assert again.keys() == model.keys()
    assert all(torch.equal(again[key], model[key]) for key in model)


def test_scaled_inputs_are_those_of_a_transformers_model_with_hooks(
    bases, smol, views, total_variation
):
    scaled = stacked(REPEATING.stack.layers, scales=(1.0,) * 27 + (0.6, *(1.0,) * 5))
    engine = bases.serve(scaled)
    own = engine.answer(BARE, views)
    oracle = quantize_int8(
        stack_model(scaled.stack, stack_states(scaled, bases.base, bases.sources), smol[0].config)
    )
    tokens = torch.tensor([engine.prompt_tokens(int(view)) for view in views])
    with torch.inference_mode():
        whole = oracle(tokens).logits[:, -1, engine.options].numpy()
    assert total_variation(own, whole).max() < 0.02
    assert total_variation(bases.serve(REPEATING).answer(BARE, views), whole).max() > 0.05


def test_a_bundle_carries_a_stack_of_merges_and_cores(bundle, tmp_path):
    recipe = stacked(of(BASE, 0, 20), of("merged", 15), merges={"merged": MERGE})
    [first, second] = bundle.population.personas
    cored = replace(first, cores=((((1.0, 0.5), (0.0, 0.75)), ()),))
    who = replace(bundle.population, personas=(cored, second))
    write_bundle(tmp_path / "out", replace(bundle, recipe=recipe, population=who), 30, [], "a card")
    again = load_bundle(tmp_path / "out")
    assert (again.recipe, again.population) == (recipe, who)
    assert [path.name for path in again.sources] == [TREND, VALUE]
    with pytest.raises(RunError, match="no persona 'p7'"):
        export_mind(again, "p7", tmp_path / "mind")


# Cores


def test_a_mind_with_cores_is_another_mind_and_the_identity_is_none(bases, views, tmp_path, bundle):
    bases.serve(None)
    rng = np.random.default_rng(0)
    identity = tuple(tuple(row) for row in np.eye(8).tolist())
    bent = tuple(tuple(row) for row in (np.eye(8) + rng.normal(0, 0.6, (8, 8))).tolist())
    [who, _] = bundle.population.personas
    plain, same, other = (
        replace(who, cores=cores).mind for cores in ((), ((identity, ()),), ((bent, ()),))
    )
    for m in (plain, same, other):
        bases.engine.ask(m, views)
    first, second, third = answer(bases.engine, views, plain, same, other)
    np.testing.assert_array_equal(first, second)
    assert np.abs(third - first).max() > 0.5
    cast = replace(bundle.population, personas=(replace(who, cores=((bent, ()),)),))
    exported = read_adapter(
        export_mind(replace(bundle, recipe=None, population=cast), "p0", tmp_path)
    )
    factors = [read_adapter(folder).factors[27, "self_attn.q_proj"] for folder in bundle.adapters]
    cores = [np.array(bent), np.eye(8)]
    expected = sum(
        c * up.double() @ torch.from_numpy(core) @ down.double()
        for c, core, (down, up) in zip(who.mixture[0], cores, factors, strict=True)
    )
    down, up = exported.factors[27, "self_attn.q_proj"]
    torch.testing.assert_close((up @ down).double(), expected, rtol=0, atol=1e-5)


# From a config


@pytest.mark.usefixtures("fetched_base")
def test_a_config_sets_up_the_stack_the_styles_and_the_cores():
    overrides = ["minds.recipe_blocks=0", "minds.stack={window: [20, 22]}", "minds.styles=[value]"]
    people = "personas=[{name: a, style: value}]"
    market = build_experiment(load_config(QUICKSTART, [*overrides, people])).market_genome
    assert market.stack is not None
    assert (market.stack.depth, market.stack.sources) == (30, (TREND, VALUE))
    assert market.styles == ("value",)
    sizes = [len(segment.genes) for segment in market.genome().segments]
    assert sizes[0] == 2 * 3 * 2 + 20
    cored = build_experiment(load_config(QUICKSTART, ["minds.cores=diagonal"])).market_genome
    assert (cored.rank, len(cored.genome().segments[1].genes)) == (8, 8 * 7 + 7 * 8)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["minds.stack={}"], r"minds\.recipe_blocks is 3 beside minds\.stack; .*recipe_blocks: 0"),
        (["minds.stack={windows: [0, 3]}"], r"unknown key 'minds\.stack\.windows'; did you mean"),
        (["minds.stack={order: rows}"], r"minds\.stack\.order is 'rows', expected layers or"),
        (["minds.styles=[valu]"], r"minds\.styles: 'valu' is no adapter; there are breakout,"),
        (
            ["minds.base=http://127.0.0.1:1/v1#m", "minds.recipe_blocks=0", "minds.cores=full"],
            r"minds\.cores needs a model here, and the base is a server's",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        build_experiment(load_config(QUICKSTART, overrides))


def test_the_merge_that_an_earlier_sweep_found_is_one_more_source(bundle, tmp_path):
    write_bundle(tmp_path / "run" / "bundle", replace(bundle, recipe=MERGE), 30, [], "a card")
    stack = f"minds.stack={{window: [20, 22], merged: {tmp_path / 'run'}}}"
    overrides = ["minds.recipe_blocks=0", stack]
    space = build_experiment(load_config(QUICKSTART, overrides)).market_genome.stack
    assert (space.merges, space.home) == ({MERGED: MERGE}, MERGED)
    assert ("merged", 21) in space.row
    other = Recipe("task_arithmetic", BASE, (TREND,), ((0.4,),))
    folder = tmp_path / "sources" / TREND
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_bytes((SHIPPED / "sources" / VALUE / name).read_bytes())
    changed = replace(bundle, recipe=other, sources=(folder,))
    write_bundle(tmp_path / "run" / "bundle", changed, 30, [], "a card")
    with pytest.raises(
        ConfigError, match=r"merges 'trend-follower', which is not among .* differs"
    ):
        build_experiment(load_config(QUICKSTART, overrides))
    write_bundle(tmp_path / "run" / "bundle", bundle, 30, [], "a card")
    with pytest.raises(ConfigError, match="holds no merge; name a run that evolved one"):
        build_experiment(load_config(QUICKSTART, overrides))
