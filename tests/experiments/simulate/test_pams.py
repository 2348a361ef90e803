"""A population in PAMS: the same orders as at home, an exported folder, how matching differs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.personas.mechanisms import Mechanisms
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.config.scenario import Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.pams import agent
from evobourse.experiments.simulate.pams.agent import LOG_COLUMNS
from evobourse.experiments.simulate.pams.export import export_pams
from evobourse.experiments.simulate.pams.matching import compare_matching
from evobourse.experiments.simulate.pams.minds import SteppedPopulation
from evobourse.market.rules import MarketRules

AGENTS, DAYS, SEED = 60, 30, 3
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("two_sided", [0.0, 0.5])
def test_agents_order_as_in_our_own_market(population, offsets, sp500, two_sided):
    """Told the closes of a market of ours, they send what they sent there, day by day."""
    how = Mechanisms(two_sided=two_sided)
    people = population([[0.0, 1.0], [1.0, 0.0]], mask={"crowd": 1.0}, attention=3, mechanisms=how)
    history, rules = history_ticks(sp500.close[:1000]), MarketRules()
    minds = TeacherMinds(("momentum", "news-driven"))
    [choices] = tabulate_choices([people], minds)
    world = World(offsets, rules, AGENTS, DAYS)
    tape = play_market(world, (people, history, SEED), choices, "full")
    bundle = SimpleNamespace(population=people, offsets=offsets, rules=rules, history=history)
    stepped = SteppedPopulation(OpenPopulation(bundle, minds, Encoding()), AGENTS, SEED)
    plenty = np.full(AGENTS, 2**50)
    sent = tape.orders.set_index("day")
    for day in range(DAYS):
        orders = stepped.ask(plenty, plenty)
        theirs = sent.loc[day].sort_values(["agent", "side"])
        mine = np.lexsort((orders.side, orders.agent))
        for name in ("agent", "side", "price_ticks", "quantity"):
            np.testing.assert_array_equal(getattr(orders, name)[mine], theirs[name])
        stepped.settle(int(tape.close_ticks[day]), int(tape.volume[day]))
    twice = sent.groupby("day")["agent"].value_counts().max()
    assert twice == (2 if two_sided else 1)


def test_what_agents_cannot_pay_is_left_out(population, offsets, sp500):
    people, history = population([[1.0]]), history_ticks(sp500.close[:1000])
    bundle = SimpleNamespace(
        population=people, offsets=offsets, rules=MarketRules(), history=history
    )
    opened = OpenPopulation(bundle, TeacherMinds(("momentum",)), Encoding())
    nothing, plenty = np.zeros(AGENTS, np.int64), np.full(AGENTS, 2**50)
    for free, side in (((plenty, nothing), 1), ((nothing, plenty), -1)):
        orders = SteppedPopulation(opened, AGENTS, SEED).ask(*free)
        assert set(orders.side.tolist()) == {side}


def row(what, step, order=0, who=0, side=0, price=0, lots=0, against=0):
    return dict(zip(LOG_COLUMNS, (what, step, order, who, side, price, lots, against), strict=True))


def test_a_days_orders_are_cleared_in_a_call():
    """A bid for 10 at 103 over offers of 5 at 100 and 102, matched a step later at one price."""
    log = pd.DataFrame(
        [
            row("order", 0, 0, 1, -1, 100, 5),
            row("order", 0, 1, 2, -1, 102, 5),
            row("order", 0, 2, 3, 1, 103, 8),
            row("order", 1, 3, 1, 1, 1, 1),  # starts the matching
            row("trade", 1, 2, 3, 0, 101, 5, 0),
            row("trade", 1, 2, 3, 0, 101, 3, 1),
            row("expire", 2, 1, 2),
            row("order", 2, 4, 1, 1, 90, 7),
            row("order", 2, 5, 2, -1, 90, 7),
            row("order", 3, 6, 1, 1, 1, 1),
            row("trade", 3, 4, 1, 0, 90, 7, 5),
        ]
    )
    found = compare_matching(log)
    assert (found["days"], found["orders"], found["trades"], found["volume"]) == (2, 7, 3, 15)
    assert found["prices"] == 1
    assert found["last_price"] == 0.9
    assert found["volume_ratio"] == 1.0
    assert found["same_price"] == 0.5  # ours is 102 on the first day
    assert found["price_apart_percent"] == pytest.approx(100 * (102 / 101 - 1) / 2)


def test_a_run_without_trades_is_compared():
    found = compare_matching(pd.DataFrame([row("order", 0, 0, 1, -1, 100, 5)]))
    assert (found["trades"], found["last_price"], found["same_price"]) == (0, None, None)


def test_without_pams_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(agent, "SequentialRunner", None)
    with pytest.raises(ConfigError, match="pip install --no-deps pams"):
        agent.play(tmp_path)


@pytest.fixture(scope="module")
def exported(small_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pams") / "market"
    export_pams(small_bundle, folder, Size(AGENTS, 100, SEED))
    return folder


@pytest.mark.slow
def test_an_exported_folder_says_all_that_pams_needs(exported, small_bundle):
    config = json.loads((exported / "config.json").read_text())
    sessions = config["simulation"]["sessions"]
    assert {(s["iterationSteps"], s["maxNormalOrders"]) for s in sessions} == {(1, AGENTS)}
    assert [s["withOrderExecution"] for s in sessions] == [False, True] * 100
    assert config["Minds"] == {
        "class": "MindAgent", "numAgents": AGENTS, "markets": ["Stock"], "bundle": "bundle",
        "seed": SEED,
    }  # fmt: skip
    assert config["Stock"]["marketPrice"] == 100.0
    named = {file.relative_to(small_bundle) for file in small_bundle.rglob("*")}
    assert named == {f.relative_to(exported / "bundle") for f in (exported / "bundle").rglob("*")}
    with pytest.raises(ConfigError, match="holds something"):
        export_pams(small_bundle, exported, Size(AGENTS, 10, SEED))


@pytest.mark.slow
def test_pams_runs_it(exported, tmp_path):
    """In a process that has PAMS in a folder of its own, and no torch."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    wanted = ["install", "--quiet", "--no-deps", "--target", str(tmp_path), "pams==0.3.0"]
    got = subprocess.run(
        [sys.executable, "-m", "pip", *wanted], capture_output=True, text=True, check=False
    )
    if got.returncode:
        pytest.skip("PAMS cannot be installed here")
    script = "import runpy, sys; sys.argv = ['run.py', '100']; runpy.run_path(sys.argv[0], {}, "
    script += "'__main__'); assert 'torch' not in sys.modules"
    runs = [
        subprocess.run(
            [sys.executable, "-c", script], cwd=exported, capture_output=True, text=True,
            check=False, env=environment,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    first, again = (json.loads(run.stdout[run.stdout.index("{") :]) for run in runs)
    assert first == again
    assert (first["days"], first["prices"]) == (100, 1)
    assert first["trades"] > 500
    assert 0.8 < first["volume_ratio"] <= 1.2
    assert first["price_apart_percent"] < 1.0
    log = pd.read_csv(exported / "log.csv")
    orders = log[log["what"] == "order"]
    assert orders.groupby("step")["agent"].nunique().eq(orders.groupby("step").size()).all()
    assert orders["agent"].nunique() == AGENTS
    assert (orders.groupby("step").size()[1::2] == 1).all()
