"""The behaviour report of a population of teachers: its numbers, and what is printed of them."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import RandomMinds, TeacherMinds
from evobourse.agents.observation import possible_views
from evobourse.agents.styles import FIRST_STYLES as STYLES
from evobourse.agents.styles import teach
from evobourse.evolve.bundle import Bundle, Reference
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.studies import behaviour
from evobourse.experiments.studies.behaviour import measure_bundle, print_behaviour
from evobourse.fitness.behaviour.herding import effective_minds
from evobourse.fitness.behaviour.table import describe_behaviour
from evobourse.market.rules import MarketRules

CAST = tuple(map(tuple, (2 * np.eye(len(STYLES))).tolist()))
SIZE = (60, 60)


class Bases:
    def __init__(self, minds):
        self.minds = minds

    def serve(self, recipe):
        return self.minds


@pytest.fixture
def open_cast(monkeypatch, population, offsets, sp500):
    """Put a population of teachers, or of dice, where a bundle is opened."""
    from evobourse.agents.crowds.persona_crowd import history_ticks

    def put(minds):
        history = history_ticks(sp500.close[:1000])
        who = population(CAST, attention=1)
        rules = MarketRules(fee_bps=5)
        reference = Reference(*SIZE, 1, "")
        made = Bundle("cast", "", "", 1, None, (), (), who, offsets, rules, history, reference)
        monkeypatch.setattr(behaviour, "open_bundle", lambda folder: (made, Bases(minds)))
        return made

    return put


def test_estimates_are_means_over_the_tapes_of_the_seeds(open_cast, tmp_path):
    made, minds = open_cast(TeacherMinds(STYLES)), TeacherMinds(STYLES)
    report = measure_bundle(tmp_path, *SIZE, seeds=3)
    [choices] = tabulate_choices([made.population], minds)
    world = World(made.offsets, made.rules, *SIZE)
    names = [p.name for p in made.population.personas]
    found = []
    for seed in (1, 2, 3):
        tape = play_market(world, (made.population, made.history, seed), choices, "full")
        found.append(describe_behaviour(tape, made.rules, names))
    assert list(report.groups) == [*names, "everyone"]
    turnover = [f.groups[2].turnover for f in found]
    shown = report.groups[names[2]]["turnover"]
    assert shown.mean == pytest.approx(np.mean(turnover))
    assert shown.error == pytest.approx(np.std(turnover, ddof=1) / np.sqrt(3))
    assert report.crowd["herding_intended"].seeds == 3


def test_minds_by_policy_are_those_of_the_teachers_answers(open_cast, tmp_path):
    open_cast(TeacherMinds(STYLES))
    report = measure_bundle(tmp_path, *SIZE, seeds=1)
    views = possible_views(1)
    by_hand = effective_minds(np.stack([teach(style, views) - 2 for style in STYLES]))
    assert report.policy_minds == pytest.approx(by_hand, rel=0.1)  # sharp, not quite certain
    assert 2 < report.policy_minds <= report.personas == len(STYLES)


def test_dice_neither_herd_nor_conform_nor_have_a_policy(open_cast, tmp_path):
    open_cast(RandomMinds())
    report = measure_bundle(tmp_path, *SIZE, seeds=6)
    for found in (report.crowd["herding_intended"], report.groups["everyone"]["conformity"]):
        assert abs(found.mean) < 5 * found.error < 0.1
    assert np.isnan(report.policy_minds)
    assert report.crowd["investors_by_day"].mean > 25  # of 60, in 60 days


def test_the_report_fits_the_terminal_and_is_valid_json(open_cast, tmp_path):
    open_cast(TeacherMinds(STYLES))
    for seeds in (1, 2):
        report = measure_bundle(tmp_path, *SIZE, seeds=seeds)
        text = io.StringIO()
        print_behaviour(report, Console(file=text, width=80))
        assert "…" not in text.getvalue()
        assert "everyone" in text.getvalue()
        back = json.loads(json.dumps(report.as_json(), allow_nan=False))
        assert set(back["groups"]["everyone"]) == set(behaviour.MEASURES)
