"""Six classes with minds: what they may know, what a round leaves behind, what is measured."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evobourse.experiments.config.cast import load_cast
from evobourse.experiments.config.scenario import load_scenario
from evobourse.experiments.studies.nickel.minds import known_closes, play_rounds
from evobourse.experiments.studies.nickel.rules import read_real
from evobourse.experiments.studies.nickel.study import SCENARIO, list_arms
from evobourse.experiments.studies.nickel.tables import real_prices, taken_back
from evobourse.market.events.schedule import load_schedule
from evobourse.market.series.named import load_series

CLASSES = (
    "producers", "merchants", "institutions", "industrial-buyers", "aggressive-investors",
    "conservative-investors",
)  # fmt: skip


@pytest.fixture(scope="module")
def scenario():
    return load_scenario(SCENARIO)


@pytest.fixture(scope="module")
def cast(scenario):
    return load_cast(Path(scenario.cast))


def test_known_prices_end_before_the_first_round_and_begin_with_the_stand_in():
    real = read_real()
    known = known_closes(real)
    other = real.copy()
    other.loc["2022-02-23":, "lme_3m_close"] *= 3
    np.testing.assert_array_equal(known_closes(other), known)
    own = real["lme_3m_close"].loc[:"2022-02-22"]
    assert (len(own), len(real_prices(real))) == (16, 10)
    np.testing.assert_array_equal(known[-16:], own)
    oil = load_series("wti", close_only=True)
    year = oil.close[oil.dates <= np.datetime64("2018-02-01")][-252:]
    moves = np.diff(np.log(known[: len(known) - 15]))
    np.testing.assert_allclose(moves, np.diff(np.log(year)), atol=1e-4)


def test_what_is_said_has_no_price_and_nothing_is_authored(scenario):
    events = load_schedule(Path(scenario.events)).events
    said = [event for event in events if hasattr(event, "text")]
    assert {event.day for event in said} == set(range(10))
    assert not any(re.search(r"\d", event.text) for event in said)
    assert all(event.tone in (-1.0, 0.0, 1.0) for event in said)
    others = {(type(event).__name__, event.day) for event in events if event not in said}
    assert others == {("CancelTrades", 9), ("Halt", 10)}


def test_each_class_is_one_group_whose_positions_add_up(cast):
    assert tuple(member.name for member in cast.members) == CLASSES
    assert all(member.count == 1 and member.account for member in cast.members)
    assert sum(member.account.lots for member in cast.members) == 0
    assert cast.members[0].account.lots * 6 == -150_000
    assert all("news" in member.only_sees for member in cast.members)


def test_arms_leave_out_what_they_say(scenario):
    arms = list_arms(scenario)
    assert [arms[name].named_numbers for name in ("whole", "no expert")] == [False] * 2
    assert [arms[name].named_numbers for name in ("named numbers", "neither")] == [True] * 2
    iterations = {name: arm.deliberation.iterations for name, arm in arms.items()}
    assert iterations == {"whole": 1, "no expert": 0, "named numbers": 1, "neither": 0}
    assert set(list_arms(replace(scenario, deliberation=None))) == {"whole", "named numbers"}


@pytest.fixture(scope="module")
def shallow(population, offsets, sp500, style_folders, fresh_engine):
    """Three layers of the real model and three of its styles, opened."""
    from evobourse.agents.crowds.persona_crowd import history_ticks
    from evobourse.agents.encodings.encoding import Encoding
    from evobourse.evolve.bundle import Bundle, Reference
    from evobourse.experiments.simulate.bundle import OpenPopulation
    from evobourse.market.rules import MarketRules
    from evobourse.merge.engine.parts import Parts

    engine = fresh_engine()
    own = engine.decoder.parts
    engine.decoder.run_on(Parts(own.embedding, own.slots[27:], own.norm, own.head))
    who = population([[1.0, 0.0, 0.0]], attention=2, mask={"news": 0.9})
    past, nothing = history_ticks(sp500.close[:1000]), Reference(0, 0, 0, "")
    adapters = tuple(style_folders.values())
    rules = MarketRules(fee_bps=5)
    bundle = Bundle("b", "main", "", 1, None, adapters, (), who, offsets, rules, past, nothing)
    return OpenPopulation(bundle, engine, Encoding())


@pytest.fixture(scope="module")
def play(shallow, scenario, cast, tmp_path_factory):
    """Play two rounds with short texts; the trades of the second are cancelled."""
    file = tmp_path_factory.mktemp("nickel") / "events.yaml"
    said = {"kind": "news", "day": 0, "text": "A mine is shut", "tone": 1.0}
    file.write_text(
        json.dumps({"events": [said, {"kind": "cancel_trades", "day": 1, "asset": "nickel"}]})
    )
    names = [folder.name for folder in shallow.bundle.adapters]
    members = tuple(
        replace(member, style=member.style if member.style in names else names[-1])
        for member in cast.members
    )
    tokens = {f"{kind}_tokens": 2 for kind in ("reason", "advice", "revision", "reflection")}
    short = replace(
        scenario,
        events=str(file),
        deliberation=replace(scenario.deliberation, expert=replace(
            scenario.deliberation.expert, style=names[0]), **tokens),
    )  # fmt: skip

    def run(seed, real=None, arm="whole"):
        days = (read_real() if real is None else real).loc[:"2022-02-24"]
        own = replace(cast, members=members)
        return play_rounds(shallow, list_arms(short)[arm], own, days, seed)

    return run


@pytest.fixture(scope="module")
def rounds(play):
    return play(1)


@pytest.mark.slow
def test_a_round_conserves_and_its_price_outlives_the_cancelled_trades(rounds):
    fills = rounds.tape["fills"]
    assert set(rounds.classes) == set(CLASSES)
    bought, sold = (sum(take(name) for name in CLASSES) for take in (rounds.bought, rounds.sold))
    volume = fills.groupby("day")["quantity"].sum().reindex([0, 1], fill_value=0)
    np.testing.assert_array_equal(bought, volume)
    np.testing.assert_array_equal(sold, volume)
    assert volume.min() > 0
    np.testing.assert_array_equal(rounds.price, fills.groupby("day")["price_ticks"].last())
    assert rounds.tape["prices"]["close_ticks"].iloc[1] == rounds.price[0]  # taken back
    lots, as_before = taken_back(rounds)
    assert as_before
    assert lots == volume[1]


@pytest.mark.slow
def test_all_read_the_news_the_largest_holders_and_who_they_are(rounds, cast):
    pages = rounds.tape["texts"].query("kind == 'page' and turn == 0 and day == 0")
    first = pages.groupby("agent")["text"].first()
    own = {member.name: member.background for member in cast.members}
    for agent, text in first.items():
        assert text.startswith(f"Who you are: {own[rounds.classes[agent]]}\nNotice: ")
        assert "Largest holders: producers short 25000 lots, merchants long 9000 lots" in text
        assert "\nNews: A mine is shut\n" in text
    assert "You are short 25000 lots" in first[rounds.classes.index("producers")]


@pytest.mark.slow
def test_measures_agree_with_the_tape(rounds):
    decisions = rounds.tape["decisions"]
    for name in CLASSES:
        agent = rounds.classes.index(name)
        mean = decisions[decisions["agent"] == agent].groupby("day")["tendency"].mean()
        np.testing.assert_allclose(rounds.behaviour(name), mean / 2)
        assert not rounds.forced(name).any()
        low, high, least, most, count, refused = rounds.order_range(name)
        assert low <= high
        assert 1 <= least <= most
        assert count <= 10
        assert 0 <= refused <= 100
    cash = rounds.of("accounts", "industrial-buyers").set_index("day")["cash_cents"]
    bearable = cash / (rounds.price * 600 * 0.1)
    net = np.cumsum(rounds.bought("industrial-buyers") - rounds.sold("industrial-buyers"))
    np.testing.assert_allclose(rounds.affordable("industrial-buyers"), 100 * net / bearable)
    assert np.isnan(rounds.malformed())


@pytest.mark.slow
def test_no_price_of_the_rounds_moves_them(play, rounds):
    real = read_real()
    real.loc["2022-02-23":, ["lme_3m_close", "lme_cash_settlement", "shfe_close_cny"]] *= 2
    again = play(1, real)
    np.testing.assert_array_equal(again.price, rounds.price)
    for name, table in rounds.tape.items():
        pd.testing.assert_frame_equal(again.tape[name], table)


@pytest.mark.slow
def test_without_expert_and_generator_there_is_no_advice_and_numbers_are_named(play):
    alone = play(1, arm="neither")
    kinds = set(alone.tape["texts"]["kind"])
    assert "advice" not in kinds
    assert "order" in kinds
    assert 0 <= alone.malformed() <= 100


def test_at_a_glance_minds_need_no_weights_here(opened, scenario, cast):
    members = tuple(replace(member, style="momentum") for member in cast.members)
    glance = replace(scenario, deliberation=None)
    done = []
    one = play_rounds(
        opened, glance, replace(cast, members=members), read_real(), 1, lambda: done.append(1)
    )
    assert len(done) == len(one.price) == 10
    assert set(one.tape["orders"].query("kind == 0")["turn"]) == {0}
    for name in CLASSES:
        assert np.abs(one.behaviour(name)).max() <= 1
    assert taken_back(one)[1]
    again = known_closes(read_real())[-1]
    assert (np.abs(np.log(one.price / again)) < 1).all()
