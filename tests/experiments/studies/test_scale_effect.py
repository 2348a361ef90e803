"""Distinct minds in one society: nested sequences, and what counts as distinct."""

import numpy as np
import pytest

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.simulate.mixtures import STRENGTH, draw_mixtures
from evobourse.experiments.studies import scale_effect
from evobourse.experiments.studies.run import run_study
from evobourse.experiments.studies.scale_effect import mean_tendencies
from evobourse.fitness.behaviour.herding import effective_minds

SMALL = ("market.agents=40", "market.days=60", "market.paths=2", "workers=1")


def test_a_longer_sequence_begins_with_the_shorter(opened):
    few, many = (draw_mixtures(opened.bundle, count, 1).personas for count in (3, 12))
    assert many[:3] == few
    mixtures = np.array([persona.mixture for persona in many])
    np.testing.assert_allclose(mixtures.sum(axis=2), STRENGTH)
    assert (mixtures > 0).all()
    assert draw_mixtures(opened.bundle, 3, 2).personas != few


def test_behaviours_are_no_more_than_minds_and_than_styles_behind_them(opened):
    for count in (1, 2, 20):
        population = draw_mixtures(opened.bundle, count, 1)
        [choices] = tabulate_choices([population], opened.minds)
        mean = mean_tendencies(choices)
        assert mean.shape[0] == count
        np.testing.assert_allclose(mean.mean(axis=1), 0, atol=1e-12)
        assert 1 <= effective_minds(mean) <= min(count, 3) + 1e-9


def test_the_study_has_a_row_a_number_for_each_who_answers(opened, tmp_path, monkeypatch, told):
    config = load_config("quickstart", SMALL)
    monkeypatch.setattr(scale_effect, "load_config", lambda place: config)
    monkeypatch.setattr(scale_effect, "open_population", lambda place: opened)
    small = ["minds=[1, 3]", "draws=2", "groups=2"]
    page, _ = run_study("scale_effect", small, tmp_path / "page.md")
    rows = [line for line in page.read_text().splitlines() if line.startswith(("| 1 |", "| 3 |"))]
    assert len(rows) == 4
    assert rows[:2] == rows[2:]  # here the teachers answer in both parts
    values = {line["figure"]: line["value"] for line in told()}
    assert values["distinct behaviours, K*, 3 of teachers"] == pytest.approx(
        values["distinct behaviours, K*, 3 of the model's minds"]
    )
    assert 1 < values["distinct behaviours, K*, 3 of teachers"] < 3
