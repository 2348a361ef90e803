import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evobourse import agents, experiments
from evobourse.agents.encodings.window import IS_PRICE, levels_of, shows_window
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES, decode_view
from evobourse.agents.training.examples import labelled_dataset
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.config.scenario import Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import simulate_bundle
from evobourse.experiments.studies.encodings import Settings, Speed, Trained, ceiling, page, tell
from evobourse.experiments.styles.agreement import Agreement, heldout_examples
from evobourse.experiments.styles.supervised import (
    EXAMPLES,
    StylePlan,
    draw_examples,
    stretches,
    train_styles,
)
from evobourse.experiments.sweep.setup import build_experiment

QUICKSTART = Path(experiments.__file__).with_name("quickstart.yaml")


@pytest.fixture(scope="module")
def config():
    return load_config(QUICKSTART, ["training.series=[sp500]"])


@pytest.fixture(scope="module")
def heldout(config):
    return heldout_examples(config, 300, True)


def test_the_shipped_styles_examples_are_drawn_as_they_were(config):
    config = replace(config, minds=replace(config.minds, attention=3))
    record = Path(agents.__file__).parent / "adapters" / "momentum" / "provenance.json"
    views = draw_examples(stretches(config, "train"), config, EXAMPLES, "momentum").views
    dataset = labelled_dataset(views, ("momentum",))
    drawn = np.stack([dataset["view"], dataset["label"]]).astype(np.int64)
    found = json.loads(record.read_text())["data_sha256"]
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == found


def test_every_encoding_sees_the_same_days(heldout, config):
    digits = replace(config, minds=replace(config.minds, encoding="digits"))
    again = heldout_examples(digits, 300, True)
    np.testing.assert_array_equal(again.views, heldout.views)
    np.testing.assert_array_equal(again.windows, heldout.windows)
    levels, shown = decode_view(heldout.views), shows_window(heldout.views)
    assert ((levels[:, IS_PRICE] >= 0).sum(axis=1) == 4 * shown).all()
    # Windows and levels are of one day: the trend's level can be read off either.
    trend = FIELD_NAMES.index("trend")
    read = np.array([levels_of(window)[trend] for window in heldout.windows])
    np.testing.assert_array_equal(read[shown], levels[shown, trend])


def test_the_window_keeps_what_teachers_need(heldout):
    for style in ("momentum", "contrarian", "value"):
        kept = ceiling(heldout, style)
        assert 0.9 < kept["digits"] <= 1.0
        assert 0.92 < kept["window"] <= 1.0


def test_a_sweep_refuses_numbers(config):
    digits = replace(config, minds=replace(config.minds, encoding="digits"))
    with pytest.raises(
        ConfigError, match=r"minds\.encoding is 'digits': a sweep asks its minds for"
    ):
        build_experiment(digits)
    with pytest.raises(ConfigError, match="sources are trained on words"):
        train_styles(digits, Path("nowhere"), StylePlan("sources"))


@pytest.mark.usefixtures("fetched_base")
def test_a_config_is_simulated_in_its_encoding(tmp_path):
    changed = [
        "minds.encoding=patches",
        "minds.styles=[]",
        "minds.recipe_blocks=0",
        "personas=[{name: one}]",
        "mechanisms={}",
        "persona_genes=[]",
    ]
    result = simulate_bundle(QUICKSTART, Size(20, 2, 1), tmp_path, overrides=changed)
    assert result["decisions"] == 40
    assert result["forward_passes"] > 0
    assert result["reference"] is None
    with pytest.raises(AgentError, match="set value_news: 0"):
        simulate_bundle(QUICKSTART, Size(20, 2, 1), tmp_path / "refused", overrides=changed[:4])
    own = [*changed[1:3], "personas=[{name: one, base: other/model}]", changed[0]]
    with pytest.raises(ConfigError, match="needs all personas on one model here"):
        simulate_bundle(QUICKSTART, Size(20, 2, 1), tmp_path, overrides=own)
    with pytest.raises(ConfigError, match=f"--set 'seed=1': {tmp_path} is a bundle"):
        simulate_bundle(tmp_path, Size(20, 2, 1), tmp_path, overrides=["seed=1"])


def test_the_page_and_the_figures_say_the_same(config, report, told):
    rows = [
        Trained("words", "momentum", 100, 0.1, 20.0, Agreement("momentum", 0.9, 0.1, 0.8, 1000)),
        Trained("digits", "momentum", 100, 0.9, 50.0, Agreement("momentum", 0.5, 0.05, 0.5, 1000)),
    ]
    ceilings = {"momentum": {"window": 0.97, "digits": 0.95}}
    speeds = {"words": Speed(5.0, 100.0, 80.0, 60), "digits": Speed(52.0, 20.0, 40.0, 200)}
    text = page(rows, ceilings, speeds, config, Settings(), report.command)
    assert (
        "| momentum | digits | 100 | 50.0% [46.9%, 53.1%] | 5.0% | 95.0% | 0.90, not converged "
        "| 50 | 2.5 |" in text
    )
    assert "| digits | 52.0 | 0.20 | 0.50 | 200 |" in text
    tell(rows, ceilings, speeds, report)
    ratios = {line["figure"]: line["ratio"] for line in told()}
    assert ratios["training time, digits, momentum, 100 steps"] == 2.5
    assert ratios["decisions, days of their own, digits"] == 0.2
    assert ratios["held-out agreement, digits, momentum, 100 steps"] == 10
