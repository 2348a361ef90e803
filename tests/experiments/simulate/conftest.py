"""A bundle of rules that stand in for a model, on disk."""

from dataclasses import replace

import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.stored_answers import gather_answers
from evobourse.evolve.bases.stand_ins import ServedTeachers, TeacherBases
from evobourse.evolve.bundle import Bundle, Reference, write_bundle
from evobourse.experiments.config.scenario import Beside, Scenario, Size
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.market.rules import MarketRules

STYLES = ("momentum", "contrarian")
EVENTS = """events:
- {kind: news, day: 5, text: "<b>Fraud</b>", tone: -6.0}
- {kind: rumour, day: 7, text: More., agents: [1, 2, 3]}
"""


@pytest.fixture(scope="session")
def small_bundle(population, offsets, sp500, style_folders, tmp_path_factory):
    """Two personas with their answers, and the scores that they might have."""
    who = population([[0.0, 1.0], [1.0, 0.0]], attention=1)
    past = history_ticks(sp500.close[:1000])
    base, made = TeacherBases(STYLES).base_hash, Reference(60, 30, 1, "0123456789ab" * 5)
    styles, rules = tuple(style_folders[name] for name in STYLES), MarketRules()
    whole = Bundle("b", "teachers", base, 1, None, styles, (), who, offsets, rules, past, made)
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    answers = gather_answers(who, ServedTeachers(STYLES))
    scores = {"score": 3.0, "ci_low": 2.5, "ci_high": 3.5, "p_holm": 0.01, "mcr": 0.2, "seeds": 8}
    board = [{"name": "evolved", "asset": "sp500", "split": "heldout", **scores}]
    write_bundle(folder, replace(whole, answers=answers), 30, board, "card")
    return folder


@pytest.fixture(scope="session")
def tapes(small_bundle, tmp_path_factory):
    """Write a year of the fast market, and days of an exchange with events."""
    folder, opened = tmp_path_factory.mktemp("tapes"), open_population(small_bundle)
    opened.simulate(40, 60, seed=1).write(folder / "fast")
    (folder / "events.yaml").write_text(EVENTS)
    place = Scenario(
        ("call", "continuous"), beside=Beside(market_makers=2), events=str(folder / "events.yaml")
    )
    choices = opened.choices()
    run_scenario(place, opened.bundle, choices, Size(40, 20, 1), folder / "exchange")
    return folder
