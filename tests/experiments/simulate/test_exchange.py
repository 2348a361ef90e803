"""Scenarios: a population in an exchange, beside other traders, hit by events."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.config.scenario import Beside, Scenario, Size, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.exchange import build_scenario, record_run, run_scenario
from evobourse.experiments.simulate.news_reactions import play_without_news
from evobourse.market.errors import MarketError
from evobourse.market.rules import MarketRules
from evobourse.market.tape.daily_tape import is_tape, read_closes
from evobourse.market.tape.movers import NOBODY, find_movers
from evobourse.market.tape.recorded import verify_tape
from evobourse.market.tape.replay import replay_log

EVENTS = """
events:
- {kind: news, day: 5, text: Fraud., tone: -6.0}
- {kind: halt, day: 6, asset: stock}
- {kind: resume, day: 7, asset: stock}
"""


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500):
    people = population([[0.0, 1.0], [1.0, 0.0]], mask={"news": 0.0}, attention=3)
    history = history_ticks(sp500.close[:1000])
    return SimpleNamespace(
        population=people, offsets=offsets, rules=MarketRules(fee_bps=5), history=history
    )


@pytest.fixture(scope="module")
def choices(bundle):
    return tabulate_choices([bundle.population], TeacherMinds(("momentum", "news-driven")))[0]


def test_alone_in_one_call_a_population_makes_the_fast_markets_prices(bundle, choices, tmp_path):
    tape = run_scenario(Scenario(), bundle, choices, Size(60, 30, 3), tmp_path / "tape")
    world = World(bundle.offsets, bundle.rules, 60, 30)
    fast = play_market(world, (bundle.population, bundle.history, 3), choices)
    prices = tape.frame("prices")
    np.testing.assert_array_equal(prices["close_ticks"], fast.close_ticks)
    np.testing.assert_array_equal(prices["volume"], fast.volume)
    assert is_tape(tmp_path / "tape")
    full = play_market(world, (bundle.population, bundle.history, 3), choices, "full")
    full.write(tmp_path / "fast")
    movers, of_auction = (find_movers(tmp_path / name) for name in ("tape", "fast"))
    pd.testing.assert_frame_equal(movers, of_auction)
    np.testing.assert_array_equal(
        movers.groupby("day")["price_ticks"].first(), prices["close_ticks"]
    )
    closes, volume = read_closes(tmp_path / "tape")
    np.testing.assert_array_equal(closes, [bundle.history[-1], *fast.close_ticks])
    np.testing.assert_array_equal(volume, fast.volume)


def test_everything_at_once_is_recorded_replays_and_repeats(bundle, choices, tmp_path):
    (tmp_path / "events.yaml").write_text(EVENTS)
    (tmp_path / "scene.yaml").write_text(
        "turns: [call, continuous, continuous, call]\nstock: {price_limit: 0.15, fee_bps: 2}\n"
        "beside: {market_makers: 3, noise_traders: 30, forecasters: 20}\nevents: events.yaml\n"
    )
    scenario = load_scenario(tmp_path / "scene.yaml")
    assert scenario.beside == Beside(3, 30, 20)
    first, second = (
        run_scenario(scenario, bundle, choices, Size(60, 12, 3), tmp_path / name) for name in "ab"
    )
    assert first.manifest.digest == second.manifest.digest == verify_tape(tmp_path / "a")
    fills, prices = first.frame("fills"), first.frame("prices").set_index("day")
    replayed = replay_log(first, 0).fills
    np.testing.assert_array_equal(replayed["price_ticks"], fills["price_ticks"])
    assert prices["halted"].tolist() == [day == 6 for day in range(12)]
    assert prices.loc[6, "volume"] == 0
    assert (prices["upper_limit_ticks"] <= 1.15 * prices["reference_ticks"] + 1).all()
    for start, stop in ((0, 60), (60, 63), (63, 93), (93, 113)):  # each kind of trader trades
        assert fills["buyer"].between(start, stop - 1).any()
        assert fills["seller"].between(start, stop - 1).any()
    told = [json.loads(detail).get("tone") for detail in first.frame("events")["detail"]]
    assert told == [-6.0, None, None]
    movers = find_movers(tmp_path / "a")
    assert set(movers["group"]) == {NOBODY, 0, 1}
    whole = movers.groupby("day")["price_ticks"].first()
    np.testing.assert_array_equal(whole, prices.loc[whole.index, "close_ticks"])


def test_news_moves_those_who_are_told(bundle, choices, tmp_path):
    (tmp_path / "bad.yaml").write_text(EVENTS)
    (tmp_path / "good.yaml").write_text(EVENTS.replace("-6.0", "6.0"))
    good, bad = (
        run_scenario(
            Scenario(events=str(tmp_path / f"{tone}.yaml")),
            bundle,
            choices,
            Size(200, 6, 3),
            tmp_path / tone,
        )
        .frame("decisions")
        .query("day == 5")["tendency"]
        .mean()
        for tone in ("good", "bad")
    )
    assert bad < good - 0.5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("turn: [call]", "unknown key 'turn'; did you mean 'turns'"),
        ("turns: [auction]", r"turns\[0\] is 'auction', expected call or continuous or impact"),
        ("beside: {makers: 1}", "unknown key 'beside.makers'"),
        ("- call", "holds list"),
        ("turns: [", "no valid YAML"),
    ],
)
def test_a_bad_scenario_is_refused_in_one_line(text, complaint, tmp_path):
    (tmp_path / "scene.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_scenario(tmp_path / "scene.yaml")


def test_missing_files_and_old_tapes_are_refused(bundle, choices, tmp_path):
    with pytest.raises(ConfigError, match="name a scenario"):
        load_scenario(tmp_path / "none.yaml")
    run_scenario(Scenario(), bundle, choices, Size(20, 2, 3), tmp_path / "tape")
    with pytest.raises(MarketError, match="holds a tape of 2 days; name another folder"):
        run_scenario(Scenario(), bundle, choices, Size(20, 2, 3), tmp_path / "tape")


def test_minds_that_cannot_write_numbers_are_refused(bundle, choices, tmp_path):
    asked = (Scenario(named_numbers=True), bundle, choices, Size(9, 2, 0), tmp_path / "tape")
    with pytest.raises(AgentError, match="named_numbers: the population's minds are TeacherMinds"):
        run_scenario(*asked, minds=TeacherMinds(("momentum", "news-driven")))


def test_the_shipped_scenario_is_one(bundle, choices, tmp_path):
    from pathlib import Path

    scenario = load_scenario(Path("experiments/scenarios/shock.yaml"))
    size = Size(40, 42, 1)
    market = build_scenario(scenario, bundle, choices, size)
    tape = record_run(market, size.days, tmp_path / "tape")
    assert len(tape.frame("events")) == 6
    quiet, loud = play_without_news(scenario, bundle, choices, size, market), tape.frame("prices")
    np.testing.assert_array_equal(quiet[:20], loud["close_ticks"][:20])
    assert quiet[20:].tolist() != loud["close_ticks"][20:].tolist()
    calm = build_scenario(Scenario(), bundle, choices, size)
    assert play_without_news(Scenario(), bundle, choices, size, calm) is None
