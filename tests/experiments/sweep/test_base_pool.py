"""Personas on bases of their own, from a config to a bundle that trades again elsewhere."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from evobourse import agents, experiments
from evobourse.evolve.bases.opening import open_model
from evobourse.evolve.bundle import load_bundle
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.config.scenario import Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.agreement import compare_answers
from evobourse.experiments.simulate.bundle import simulate_bundle
from evobourse.experiments.sweep.export import export_bundle
from evobourse.experiments.sweep.pipeline import run_sweep
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.merge.errors import ModelError

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")
ADAPTERS = Path(agents.__file__).parent / "adapters"
ONE_BASE = 400_000_000  # bytes: enough for one 135M with its adapters, not for two
AGENTS, DAYS = 20, 60


def configure(other, *overrides):
    personas = [
        {"name": "here", "style": "momentum", "base": "smollm2-135m-instruct"},
        {"name": "there", "style": "momentum", "base": other},
    ]
    settings = [
        f"personas={json.dumps(personas)}",
        "minds.recipe_blocks=0",
        "minds.attention=1",
        f"market.agents={AGENTS}",
        f"market.days={DAYS}",
    ]
    return load_config(QUICKSTART, [*settings, *overrides])


@pytest.fixture
def own_adapters(tmp_path):
    """Copy two styles, and one that the main base does not have."""
    folder = tmp_path / "own"
    for name, source in (("momentum", "momentum"), ("value", "value"), ("odd", "herding")):
        shutil.copytree(ADAPTERS / source, folder / name)
    return folder


@pytest.fixture
def two_styles(tmp_path):
    folder = tmp_path / "two"
    for name in ("value", "momentum"):
        shutil.copytree(ADAPTERS / name, folder / name)
    return folder


def test_a_bundle_carries_its_bases_and_trades_again(
    folded_base, own_adapters, two_styles, tmp_path
):
    experiment = build_experiment(
        configure(
            folded_base,
            f"minds.adapters={two_styles}",
            f"minds.adapters_of={{{folded_base}: {own_adapters}}}",
            f"minds.memory_bytes={ONE_BASE}",
        )
    )
    genome = experiment.market_genome
    start = genome.genome().to_values(genome.genome().start_vector())
    assert [p.base for p in genome.population(start).personas] == [None, folded_base]
    names = {base: [f.name for f in o.adapters] for base, o in experiment.persona_bases.items()}
    assert names == {folded_base: ["momentum", "value"]}
    bases = experiment.open_bases()
    champion = Candidate("g000-s00-f00", 0, (), start, None, (), 1.0, {}, None)
    written = export_bundle(experiment, bases, champion, [], tmp_path / "run" / "bundle")
    assert bases.counters.loads == 2
    assert list(bases.loaded) == [folded_base]

    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "run" / "bundle", moved)
    loaded = load_bundle(moved)
    assert loaded.population == written.population
    assert loaded.memory_bytes == ONE_BASE
    [(name, other)] = loaded.persona_bases.items()
    assert (name, other.base_hash) == (folded_base, bases.hash_of(folded_base))
    assert all(folder.is_relative_to(moved) for folder in other.adapters)
    personas = yaml.safe_load((moved / "personas.yaml").read_text())
    assert [persona.get("base") for persona in personas] == [None, folded_base]
    done = simulate_bundle(moved, Size(AGENTS, DAYS, 1), tmp_path / "tape")
    assert done["reference"] is True
    assert done["forward_passes"] == 0  # both bases' answers are in the bundle
    live = loaded.live_bases().serve(None)
    agreement = compare_answers(loaded, live)
    assert live.counters.computed == 2 * 23
    assert agreement.worst.logits == 0
    assert agreement.explained


@pytest.mark.slow
def test_a_council_in_worker_processes_sweeps_to_its_bundle(folded_base, tmp_path):
    config = configure(
        folded_base,
        "executor.kind=processes",
        "workers=1",
        "market.paths=2",
        "search.generations=1",
        "search.cross.slow_count=1",
        "search.cross.fast_count=2",
        "selection.champions=2",
        "selection.validation_groups=2",
        "selection.heldout_groups=2",
    )
    unseen = SimpleNamespace(on_progress=lambda *_: None, on_generation=lambda *_: None)
    run_sweep(config, RunFolder(tmp_path), lambda *_: unseen, print)
    [other] = load_bundle(RunFolder(tmp_path).bundle).persona_bases.values()
    assert other.base_hash == open_model(folded_base, (), ()).base_hash
    done = simulate_bundle(RunFolder(tmp_path).bundle, Size(AGENTS, DAYS, 1), tmp_path / "tape")
    assert done["reference"] is True


def test_a_base_without_a_style_or_a_model_is_refused_before_any_loads(
    own_adapters, folded_base, tmp_path
):
    with pytest.raises(ConfigError, match=r"own, of base .*value', holds no adapter 'breakout'"):
        build_experiment(
            configure(folded_base, f"minds.adapters_of={{{folded_base}: {own_adapters}}}")
        )
    with pytest.raises(ConfigError, match=r"minds.adapters_of: .* holds no folder with an adapter"):
        build_experiment(configure(folded_base, f"minds.adapters_of={{{folded_base}: {tmp_path}}}"))
    with pytest.raises(ModelError, match=r"base './nowhere': no such folder"):
        build_experiment(configure("./nowhere"))


def test_personas_on_the_main_base_leave_bundles_and_bases_as_they_were(folded_base):
    config = configure("smollm2-135m-instruct")
    assert config.other_bases == ()
    experiment = build_experiment(config)
    assert experiment.persona_bases == {}
    assert {p.base for p in experiment.market_genome.personas} == {None}
