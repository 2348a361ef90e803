"""One change at a time, on teachers in place of the model: what is paired, what is read."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from evobourse import experiments
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.bundle import Bundle, Reference
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.robustness.standings import judge_variants, survivors
from evobourse.experiments.studies.robustness.table import print_robustness
from evobourse.experiments.studies.robustness.variants import (
    ORIGINAL,
    Variant,
    list_variants,
    open_other_adapters,
    open_other_base,
)
from evobourse.experiments.sweep.judging import Judge, play_row
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.merge.errors import ModelError

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")
SMALL = ["market.agents=60", "market.days=80", "market.paths=3", "workers=1", "minds.attention=1"]
GROUPS = 3


class TeachingBases:
    """Serves the teachers whatever the recipe: the wiring is tested here, not the model."""

    def __init__(self, styles):
        self.minds, self.served = TeacherMinds(styles), []

    def serve(self, recipe):
        self.served.append(recipe)
        return self.minds


@pytest.fixture(scope="module")
def config():
    return load_config(QUICKSTART, SMALL)


@pytest.fixture(scope="module")
def experiment(config):
    return build_experiment(config)


@pytest.fixture(scope="module")
def bundle(config, experiment):
    genome = experiment.market_genome
    start = genome.genome().to_values(genome.genome().start_vector())
    world = experiment.windows.world
    return Bundle(
        "small",
        "none",
        "none",
        1,
        genome.recipe(start),
        experiment.adapters,
        experiment.sources,
        genome.population(start),
        world.offsets,
        world.rules,
        np.array([10_000]),
        Reference(world.n_agents, world.days, 1, ""),
    )


@pytest.fixture(scope="module")
def bases(experiment):
    return TeachingBases(experiment.market_genome.styles)


@pytest.fixture(scope="module")
def standings(config, bundle, bases):
    return list(judge_variants(config, bundle, list_variants(bundle, bases, bases), GROUPS))


def plain(standings):
    """All numbers but those that a clock or a file's name decides."""
    return [
        {k: v for k, v in s.as_json().items() if k not in ("seconds", "asset")} for s in standings
    ]


def by_name(standings, split="train"):
    return {s.row["name"]: s for s in standings if s.row["split"] == split}


def test_every_change_is_played_on_training_and_validation_windows_alone(standings):
    names = "other_seeds half_agents no_masks swapped_adapters no_adapters no_recipe other_adapters"
    expected = [
        ORIGINAL,
        *(f"evolved-{n}" for n in names.split()),
        "random_tendencies",
        "rule_based",
    ]
    assert [s.row["name"] for s in standings] == [name for name in expected for _ in range(2)]
    assert {s.row["split"] for s in standings} == {"train", "validation"}


def test_held_out_days_play_no_part(config, bundle, bases, sp500, tmp_path):
    heldout = np.flatnonzero(sp500.dates.astype(str) >= config.splits.heldout[0])
    assert 2000 < len(heldout) < 2100
    reports = []
    for name, last in (("as_it_was", 1.0), ("changed", 9.0)):
        factor = np.ones(len(sp500))
        factor[heldout] = np.linspace(1.0, last, len(heldout))
        prices = {c: getattr(sp500, c) * factor for c in ("open", "high", "low", "close")}
        file = tmp_path / f"{name}.csv"
        table = pd.DataFrame({"date": sp500.dates, **prices, "volume": sp500.volume})
        table.to_csv(file, index=False)
        own, wanted = replace(config, series=(str(file),)), list_variants(bundle, bases)[:2]
        reports.append(plain(judge_variants(own, bundle, wanted, GROUPS)))
    assert reports[0] == reports[1]


def test_the_original_is_the_scoreboards_own_row(standings, experiment, bundle, bases):
    for split in (experiment.splits.train, experiment.splits.validation):
        judge = Judge(experiment, split, GROUPS)
        row, _ = play_row(judge, "evolved", bundle.population, bases.minds)
        found = by_name(standings, split.name)[ORIGINAL]
        assert {**found.row, "seconds": 0} == {**row, "seconds": 0}
        assert found.verdict == "original"


def test_what_changes_nothing_stands_exactly_where_the_original_does(standings):
    # teachers answer whatever the recipe is, and are the rule-based stand-in themselves
    for split in ("train", "validation"):
        rows = by_name(standings, split)
        for name in ("evolved-no_recipe", "evolved-other_adapters", "rule_based"):
            assert rows[name].against == (0.0, 0.0, 0.0)
            assert rows[name].verdict == "undecided"
            assert rows[name].row["score"] == rows[ORIGINAL].row["score"]
            for moment in rows[name].moments:
                assert (moment.change, moment.low, moment.high) == (0, 0, 0)
                assert moment.fate in ("stays", "absent")


def test_what_changes_something_moves_it(standings):
    rows = by_name(standings)
    for name in ("evolved-no_masks", "evolved-swapped_adapters", "random_tendencies"):
        mean, low, high = rows[name].against
        assert low <= mean <= high
        assert low < high
        assert any(moment.change for moment in rows[name].moments)
    whole, half = rows[ORIGINAL].row["decisions"], rows["evolved-half_agents"].row["decisions"]
    assert half * 2 == whole


def test_intervals_are_of_pairs_where_there_are_pairs(standings, config, bundle, bases, experiment):
    minds = list_variants(bundle, bases)[0].minds
    original = Variant(ORIGINAL, "", bundle.population, minds)
    again, fresh = (
        Variant(name, "", bundle.population, minds, fresh=name == "fresh")
        for name in ("again", "fresh")
    )
    rows = by_name(judge_variants(config, bundle, [original, again, fresh], GROUPS))
    assert rows["again"].against == (0.0, 0.0, 0.0)
    _, low, high = rows["fresh"].against
    assert high - low > 0.05  # of two samples, though of one law


def test_the_changes_are_what_they_say(bundle, bases):
    variants = {v.name: v for v in list_variants(bundle, bases)}
    society = variants["evolved-no_masks"].population.society
    assert set(society.mask.values()) == {0.0}
    assert society.momentary_mask == 0.0
    assert society.attention == bundle.population.society.attention
    before = [p.mixture[0] for p in bundle.population.personas]
    swapped = [p.mixture[0] for p in variants["evolved-swapped_adapters"].population.personas]
    assert swapped == [(row[-1], *row[:-1]) for row in before] != before
    bare = variants["evolved-no_adapters"].population
    assert not any(np.any(p.mind) for p in bare.personas)
    assert "evolved-other_adapters" not in variants
    bases.served.clear()
    variants["evolved-no_recipe"].minds()
    variants["evolved"].minds()
    assert bases.served == [None, bundle.recipe]


def test_a_dead_market_is_degenerate_and_no_json_is_broken(config, bundle):
    class Asleep:
        def ask(self, mind, views):
            pass

        def answer(self, mind, views):
            return np.tile(np.float32([0, 0, 50, 0, 0]), (len(views), 1))

    still = replace(bundle.population.society, dispersion=1e-9)
    who = replace(bundle.population, society=still)
    teachers = TeachingBases(tuple(path.name for path in bundle.adapters)).minds
    variants = [
        Variant(ORIGINAL, "", bundle.population, lambda: teachers),
        Variant("asleep", "", who, Asleep),
    ]
    found = list(judge_variants(config, bundle, variants, GROUPS))
    assert [s.verdict for s in found] == ["original"] * 2 + ["degenerate"] * 2
    text = json.dumps([s.as_json() for s in found], allow_nan=False)
    assert json.loads(text)[2]["score"] is None


def test_the_report_fits_the_terminal_and_counts_every_change(standings):
    text = io.StringIO()
    print_robustness(standings, Console(file=text, width=80))
    shown = text.getvalue()
    assert "…" not in shown
    assert "evolved-swapped_adapters" in shown
    for fates in survivors(by_name(standings).values()).values():
        assert sum(map(len, fates.values())) == 9


def test_other_adapters_must_have_the_same_names(bundle, tmp_path):
    with pytest.raises(ConfigError, match="holds no adapter 'breakout'"):
        open_other_adapters(bundle, tmp_path)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Write random Llamas as model folders, with a tokenizer of the prompt's words, and LoRAs."""
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("shelf")
    letters = Tokenizer(
        models.WordLevel({"?": 0, **{f" {c}": n for n, c in enumerate("ABCDE", 1)}}, "?")
    )
    letters.pre_tokenizer = pre_tokenizers.Split(Regex(" [A-E]|."), "isolated")

    def llama(seed, width=64, layers=2):
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=layers,
                num_attention_heads=4,
                num_key_value_heads=2,
                vocab_size=8,
            )
        )

    def model(name, *settings):
        llama(*settings).save_pretrained(root / name)
        PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(root / name)
        return str(root / name)

    def lora(name, seed, **shape):
        wanted = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(llama(seed, **shape), wanted).save_pretrained(root / name)
        return root / name

    return model, lora


@pytest.fixture(scope="module")
def small(shelf, bundle):
    """A bundle on a random Llama of two layers, with one adapter and one source."""
    from evobourse.evolve.bases.opening import open_bases
    from evobourse.merge.recipes.recipe import Recipe

    model, lora = shelf
    base, adapter, source = model("own", 1), lora("adapter", 2), lora("source", 3)
    recipe = Recipe("task_arithmetic", base, ("source",), ((0.5,),))
    own = open_bases(base, [adapter], [source])
    parts = {"adapters": (adapter,), "sources": (source,), "recipe": recipe, "blocks": 1}
    return replace(bundle, base=base, base_hash=own.base_hash, **parts), own


def ask(minds):
    return minds.answer(np.float32([[0.7]]), np.arange(6))


def test_another_base_answers_otherwise_and_its_own_recipe_is_carried_out_on_it(small, shelf):
    from evobourse.evolve.bases.opening import open_bases

    opened, own = small
    folder = shelf[0]("other", 5)
    other = open_other_base(opened, folder)
    assert other.recipe == opened.recipe
    rows = list_variants(opened, own, elsewhere=other)
    [variant] = [v for v in rows if v.name == "evolved-other_base"]
    assert variant.population is opened.population
    assert variant.change == "another base model"
    direct = open_bases(folder, opened.adapters, opened.sources)
    found = ask(variant.minds())
    np.testing.assert_array_equal(found, ask(direct.serve(opened.recipe)))
    assert not np.array_equal(found, ask(direct.serve(None)))
    assert not np.array_equal(found, ask(own.serve(opened.recipe)))


def test_the_recipe_is_left_out_where_its_sources_do_not_fit_the_other_base(small, shelf):
    opened, _ = small
    wide = replace(opened, sources=(shelf[1]("wide", 3, width=128),))
    found = open_other_base(wide, shelf[0]("third", 6))
    assert found.recipe is None
    assert "the sources do not fit" in found.change
    np.testing.assert_array_equal(ask(found.minds()), ask(found.bases.serve(None)))


def test_a_base_of_other_shapes_the_own_one_and_none_are_refused_in_one_line(small, shelf):
    opened, _ = small
    model = shelf[0]
    for folder, complaint in (
        (model("wide_base", 1, 128), "layer 0 self_attn.q_proj maps 64 to 64, the base maps 128"),
        (
            model("shallow", 1, 64, 1),
            "layers.1.self_attn.q_proj, and the base has no such linear",
        ),
        (opened.base, "has the weights of the bundle's own base; name another"),
    ):
        with pytest.raises(ConfigError, match=complaint) as caught:
            open_other_base(opened, folder)
        assert str(caught.value).startswith(f"--base {folder}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no such folder"):
        open_other_base(opened, "nowhere")
