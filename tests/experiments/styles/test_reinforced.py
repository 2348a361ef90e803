import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.training.reinforcement import ReinforcementConfig
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.evolve.markets import play_market
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.reinforcement import choice
from evobourse.experiments.styles.market_pairs import (
    earns_more,
    list_casts,
    measure,
    play_pairs,
)
from evobourse.experiments.styles.reinforced import pure_cast, reinforce_styles
from evobourse.experiments.sweep.setup import SHIPPED, build_experiment

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
CAST = "[{name: a, style: momentum}, {name: b, style: contrarian}, {name: c}]"
TINY = ReinforcementConfig(iterations=1, markets=2, learning_rate=2e-3, least_agreement=0.0)


@pytest.fixture(scope="module")
def config():
    sizes = ["market.agents=60", "market.days=60", "minds.attention=1", "minds.recipe_blocks=0"]
    return load_config(QUICKSTART, [*sizes, "workers=1", f"personas={CAST}"])


@pytest.fixture(scope="module")
def refined(config, tmp_path_factory):
    folder, heard = tmp_path_factory.mktemp("refined"), []

    def hear(*news):
        heard.append(news)

    assert reinforce_styles(config, folder, ["contrarian"], TINY, hear) == ["contrarian"]
    return folder, heard


@pytest.mark.usefixtures("fetched_base")
def test_a_style_is_refined_once_and_says_how(config, refined):
    folder, heard = refined
    [(style, step, steps, found)] = heard
    assert (style, step, steps) == ("contrarian", 1, 1)
    record = json.loads((folder / "contrarian" / PROVENANCE).read_text())
    assert record["rewards_bp"] == [found.reward]
    assert record["series"] == "sp500"
    assert record["years"] == list(config.splits.train)
    before = (folder / "contrarian" / "adapter_model.safetensors").read_bytes()
    assert before != (SHIPPED / "adapters/contrarian/adapter_model.safetensors").read_bytes()
    assert reinforce_styles(config, folder, ["contrarian"], TINY) == []
    assert (folder / "contrarian" / "adapter_model.safetensors").read_bytes() == before


def test_what_cannot_be_refined_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="--only 'value': no persona has that style"):
        reinforce_styles(config, tmp_path, ["value"], TINY)
    with pytest.raises(ConfigError, match="holds the adapters to be refined"):
        reinforce_styles(config, SHIPPED / "adapters", ["contrarian"], TINY)


def test_the_cast_is_pure_and_stays(config):
    cast = pure_cast(build_experiment(config))
    assert cast.society.switching == 0
    rows = np.array([persona.mixture[0] for persona in cast.personas])
    assert rows.sum(axis=1).tolist() == [1, 1, 0]
    assert set(np.unique(rows)) == {0.0, 1.0}


@pytest.mark.usefixtures("fetched_base")
def test_pairs_differ_in_the_refined_style_alone(config, refined):
    folder, _ = refined
    experiment, paths = build_experiment(config), [folder / "contrarian"]
    [cast] = list_casts(experiment, paths, folder)
    found = play_pairs(experiment, cast, paths, 3)
    assert found["contrarian"].shape == (3, 2, 3)
    assert (found["contrarian"][:, 0] != found["contrarian"][:, 1]).any()
    np.testing.assert_array_equal(found["contrarian"], found["contrarian, all at once"])
    shipped = [SHIPPED / "adapters" / "contrarian"]  # taken for refined: nothing may change
    [same] = list_casts(experiment, shipped, folder)
    pairs = play_pairs(experiment, same, shipped, 3)["contrarian"]
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    np.testing.assert_array_equal(pairs[:, 0], found["contrarian"][:, 0])


@pytest.mark.usefixtures("fetched_base")
def test_validation_windows_alone_choose_what_is_kept(config, refined):
    experiment, paths = build_experiment(config), [refined[0] / "contrarian"]
    [cast] = list_casts(experiment, paths, refined[0])
    heldout, validation = (
        play_pairs(experiment, cast, paths, 2, validation=own)["contrarian"]
        for own in (False, True)
    )
    begun = {
        own: {
            experiment.windows.history(window, seed).tobytes() for seed in range(500_000, 500_002)
        }
        for own, window in (("h", experiment.splits.heldout), ("v", experiment.splits.validation))
    }
    assert not begun["h"] & begun["v"]
    assert (heldout != validation).any()
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (40, 2, 3))
    gains, loses = noise.copy(), noise.copy()
    gains[:, 1, 1] += 3  # risk-adjusted profit alone
    loses[:, 1, :2] -= 3
    assert [earns_more(x) for x in (noise * [1, 1, 0], gains, loses)] == [False, True, False]
    page = choice({"one": gains, "two": loses}, {"one": loses, "two": gains}, ["one", "two"])
    assert [line.split("|")[4].strip() for line in page.splitlines()[2:4]] == ["yes", "no"]
    assert page.splitlines()[4].startswith("| mean of those kept | | | | -")  # as held out says


def test_measures_are_those_of_the_accounts(config):
    experiment = build_experiment(config)
    world = replace(experiment.windows.world, n_agents=40)
    cast = pure_cast(experiment)
    choices = np.tile(np.linspace(0.2, 1.0, 5), (3, 23, 1))
    part = (cast, experiment.windows.history(experiment.splits.heldout, 5), 5)
    found = measure(world, part, choices)
    tape = play_market(world, part, choices, "full")
    shares, cash = np.zeros((61, 40)), np.zeros((61, 40))
    for order in tape.orders.itertuples():
        moved = order.side * order.filled
        shares[order.day + 1 :, order.agent] += moved
        cash[order.day + 1 :, order.agent] -= moved * tape.close_ticks[order.day]
    began = tape.accounts.shares - shares[-1]
    prices = np.array([10_000, *tape.close_ticks], float)[:, None]
    whole = (began * 10_000 + cash + (began + shares) * prices) / (2 * began * 10_000)
    idle = (began * 10_000 + began * prices) / (2 * began * 10_000)
    profit, wealth = np.diff(whole - idle, axis=0), np.diff(whole, axis=0)
    persona = tape.decisions["persona"].to_numpy()[:40]
    for p in range(3):
        mine = persona == p
        ratios = [x[:, mine].mean(0) / x[:, mine].std(0) * 252**0.5 for x in (profit, wealth)]
        expected = [1e4 * profit[:, mine].mean(), *(ratio.mean() for ratio in ratios)]
        np.testing.assert_allclose(found[p], expected, rtol=1e-6, atol=1e-9)
