"""Swings of known paths, and a page with markets beside real windows."""

import numpy as np
import pytest

from evobourse.experiments.studies import bubble
from evobourse.experiments.studies.bubble import (
    FACTS,
    SWINGS,
    heat,
    longest_run,
    measure_path,
    runs_statistic,
)
from evobourse.experiments.studies.run import run_study


def test_swings_are_those_between_any_two_days_of_a_path():
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 0.02, 80)
    price = np.exp(np.concatenate([[0], returns.cumsum()]))
    between = [price[j] / price[i] - 1 for i in range(81) for j in range(i, 81)]
    run_up, fall, _, _ = measure_path(returns, rng.random(80))[: len(SWINGS)]
    assert run_up == pytest.approx(100 * max(between))
    assert fall == pytest.approx(-100 * min(between))


def test_the_longest_run_ends_where_the_sign_turns():
    assert longest_run(np.array([1.0, -1.0, 1.0])) == 1
    assert longest_run(np.array([1.0, 2.0, -1.0, -1.0, -3.0])) == 3
    assert longest_run(np.array([1.0, 2.0, 4.0, -1.0])) == 3


def test_the_runs_statistic_is_below_nil_for_rows_above_for_turns_and_near_it_for_coins():
    days = np.arange(400)
    assert runs_statistic(np.where(days // 20 % 2, 1.0, -1.0)) < -15
    assert runs_statistic(np.where(days % 2, 1.0, -1.0)) > 15
    rng = np.random.default_rng(4)
    coins = [runs_statistic(rng.normal(size=400)) for _ in range(300)]
    assert np.mean(coins) == pytest.approx(0, abs=0.2)
    assert np.std(coins) == pytest.approx(1, abs=0.15)
    assert np.isnan(runs_statistic(np.ones(5)))


def test_heat_multiplies_every_temperature(opened):
    population = heat(opened.bundle.population, 3.0, None)
    assert {persona.temperature for persona in population.personas} == {3.0}


def test_the_study_has_bands_and_a_row_a_market(opened, tmp_path, monkeypatch, told):
    monkeypatch.setattr(bubble, "open_population", lambda place: opened)
    monkeypatch.setattr(bubble, "REAL_WINDOWS", 5)
    small = ["temperatures=[0.5, 2]", "seeds=2", "agents=40", "days=120"]
    page, picture = run_study("bubble", small, tmp_path / "b.md")
    text = page.read_text()
    for kind in ("strangers", "society"):
        assert text.count(f"| {kind} | 0.5 |") == text.count(f"| {kind} | 2 |") == 3
    assert text.count("| real windows, 95 % | |") == 2
    assert text.count(" of 2 in") == 4 * (len(SWINGS) + len(FACTS))
    assert picture.is_file()
    assert len(told()) == 4 * (len(SWINGS) + len(FACTS) + 4)
