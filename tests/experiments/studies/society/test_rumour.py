"""A planted rumour, end to end: who it reaches, and that it moves no one else."""

from pathlib import Path
from types import SimpleNamespace

import networkx
import numpy as np
import pandas as pd
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.personas.social import Social
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.experiments.studies.society.page import day_table, draw_rumour
from evobourse.experiments.studies.society.rumour import (
    NEVER,
    Plan,
    least_days,
    most_liked,
    run_alone,
    run_free,
)
from evobourse.experiments.studies.society.study import (
    LEADERS,
    THRESHOLDS,
    check_table,
    decay_table,
    link_table,
    measure_cost,
    measure_links,
)
from evobourse.market.rules import MarketRules

PLAN = Plan(agents=150, days=12, day=5, planted=6)
SOCIAL = Social(acquaintances=20, posting=0.8, telling=1.0, half_life_days=6.0)


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500):
    mask = {"news": 0.0, "crowd": 0.3}
    people = population([[0.0, 1.0], [1.0, 0.0]], mask, attention=4, momentary_mask=0.0)
    nothing = dict.fromkeys(Bundle.__dataclass_fields__)
    given = {
        "population": people,
        "offsets": offsets,
        "rules": MarketRules(),
        "history": history_ticks(sp500.close[:1000]),
    }
    return Bundle(**{**nothing, **given})


@pytest.fixture(scope="module")
def choices(bundle):
    return tabulate_choices([bundle.population], TeacherMinds(("momentum", "news-driven")))[0]


@pytest.fixture(scope="module")
def pairs(bundle, choices):
    by_leaders, by_others, closes = run_free(bundle, choices, SOCIAL, PLAN, 3)
    alone = run_alone(bundle, choices, SOCIAL, PLAN, 3, closes)
    return SimpleNamespace(leaders=by_leaders, others=by_others, alone=alone, closes=closes)


def test_it_spreads_along_the_graph_and_not_faster(pairs):
    for pair in (pairs.leaders, pairs.others, pairs.alone):
        assert pair.reached(4) == 0
        assert pair.reached(5) == 6
        assert 6 < pair.reached(8) < pair.reached(11) < 150
        assert (pair.off_links, pair.too_far) == (0, 0)
        assert (np.unique(pair.heard_day[pair.heard_day != NEVER]) >= 5).all()
        assert len(pair.tellings) == pair.reached(11) - 6


def test_it_moves_those_it_reaches_and_no_one_else(pairs):
    alone = pairs.alone
    assert not pairs.alone.price_change.any()
    assert all(alone.changed_unreached(day) == 0 for day in range(12))
    moved = [alone.change_of(day, True) for day in range(5, 12)]
    assert max(moved) < 0
    assert np.mean(moved) < -0.3
    assert not alone.change[:5].any()


def test_in_a_free_market_the_others_learn_of_it_by_the_price(pairs):
    free = pairs.leaders
    assert free.changed_unreached(5) == 0  # the day itself
    assert free.change[5].any()
    assert free.price_change[5:].any()
    assert not free.price_change[:5].any()
    assert sum(free.changed_unreached(day) for day in range(6, 12)) > 0


def test_the_authored_closes_are_the_free_market_s(bundle, choices, pairs):
    again = run_alone(bundle, choices, SOCIAL, PLAN, 3, pairs.closes)
    np.testing.assert_array_equal(again.change, pairs.alone.change)
    np.testing.assert_array_equal(again.heard_day, pairs.alone.heard_day)


def test_the_most_liked_are_those_with_the_most_likes_of_late():
    readings = pd.DataFrame(
        {
            "day": [1, 1, 3, 4, 4, 5, 5],
            "other": [7, 7, 7, 2, 2, 9, 9],
            "liked": [True, True, False, True, True, True, True],
        }
    )
    plan = Plan(agents=10, day=5, planted=2)
    assert most_liked({"readings": readings}, plan, 0.5).tolist() == [2, 7]


def test_distances_are_those_of_the_links_since(pairs):
    rows = [(6, 0, 1), (7, 1, 2), (6, 3, 4), (5, 0, 9)]
    links = pd.DataFrame(rows, columns=["day", "agent", "other"])
    found = least_days(links, Plan(agents=10, day=5), np.array([0]))
    assert found[:3].tolist() == [0, 1, 2]
    assert (found[3:] == NEVER).all()
    assert networkx.__version__.startswith("3.")


def test_the_table_and_the_picture_show_them(pairs):
    text = day_table([pairs.leaders, pairs.others], PLAN, 9)
    assert text.splitlines()[2].startswith("| -1 | 0 | - | - | 0.000 | 0 |")
    assert text.splitlines()[3].startswith("| +0 | 6 |")
    figure = draw_rumour([pairs.leaders] * 2, [pairs.others] * 2, [pairs.alone] * 2, PLAN)
    figure.canvas.draw()
    assert len(figure.axes) == 4
    assert show([1.0, 2.0, 3.0], 1) == "2.0 [-0.5, 4.5]"
    assert show([np.nan]) == "-"


def test_links_are_fewer_over_higher_thresholds_and_costs_are_ratios(bundle, choices, report, told):
    seeds = [measure_links(bundle, choices, 0.5, 60, seed) for seed in (1, 2)]
    for seed in seeds:
        for kind in ("everybody", "acquaintances"):
            rows = np.array([seed[kind, threshold] for threshold in THRESHOLDS])
            assert (np.diff(rows[:, :3], axis=0) <= 0).all()
            assert (np.diff(rows[:, 3]) >= 0).all()
            if kind == "everybody":
                np.testing.assert_allclose(rows[:, 1], rows[:, 0] * 59)
        assert 0 < seed["leaders", LEADERS][0] < 1
    text = link_table({0.5: seeds})
    assert len(text.splitlines()) == 2 + len(THRESHOLDS)
    assert decay_table({0.5: seeds, 1.0: seeds}).splitlines()[3].startswith("| 1.0 |")
    rows = measure_cost(bundle, choices, (30, 60), report).splitlines()
    figures = told()
    assert figures[1]["ratio"] == 1.0
    assert all(figure["value"] > 0 for figure in figures[::2])
    assert len(rows) == 2 + len(figures) == 6


def test_what_must_be_nil_is_counted(pairs):
    kinds = {"leaders": [pairs.leaders], "others": [pairs.others], "alone": [pairs.alone]}
    rows = check_table(kinds, PLAN).splitlines()[2:]
    assert [rows[at].split("|")[-2].strip() != "0" for at in (0, 2)] == [True, False]
    assert all(row.split("|")[4].strip().startswith("0 of ") for row in rows)


# Settings


def test_a_scenario_may_have_a_society(bundle, choices, tmp_path):
    file = tmp_path / "scene.yaml"
    file.write_text("society: {acquaintances: 10, decay: 1}\n")
    scenario = load_scenario(file)
    assert scenario.society == Social(acquaintances=10, decay=1.0)
    tape = run_scenario(scenario, bundle, choices, Size(40, 3, 1), tmp_path / "tape")
    assert len(tape.frame("links")) > 0
    assert "mood" in tape.frame("decisions")
    without = run_scenario(Scenario(), bundle, choices, Size(40, 3, 1), tmp_path / "other")
    assert len(without.frame("links")) == 0
    file.write_text("society: {aquaintances: 10}\n")
    with pytest.raises(
        ConfigError, match=r"'society.aquaintances'; did you mean 'society.acquaintances'"
    ):
        load_scenario(file)


def test_the_shipped_society_is_one(bundle, choices, tmp_path):
    scenario = load_scenario(Path("experiments/scenarios/friends.yaml"))
    tape = run_scenario(scenario, bundle, choices, Size(100, 30, 2), tmp_path / "tape")
    heard = tape.frame("messages")
    assert heard["kind"].tolist() == ["rumour"]
    told = tape.frame("tellings")
    assert set(told["text"]) == {heard["text"][0]}
    assert told["day"].min() > 20
    assert told["agent"].is_unique
    assert not set(told["agent"]) & set(heard["agent"])


def test_with_a_society_evolution_sets_threshold_and_decay(tmp_path):
    config = load_config(Path("experiments/quickstart.yaml"), ["society.decay=0.8"])
    assert config.society == Social(decay=0.8)
    assert load_config(Path("experiments/quickstart.yaml")).society is None

    def make(social):
        cast = (PersonaStart("one", "", "momentum"),)
        return MarketGenome(cast, ("momentum",), 1, "base", (), 0, 2, social)

    def genes(market_genome):
        return [gene.name for s in market_genome.genome().segments for gene in s.genes]

    social = make(config.society)
    assert set(genes(social)) - set(genes(make(None))) == {"link_threshold", "decay"}
    genome = social.genome()
    values = genome.to_values(genome.start_vector())
    born = social.population(values).society.social
    assert (born.decay, born.link_threshold) == pytest.approx((0.8, 0.2))
    assert make(None).population(values).society.social is None
