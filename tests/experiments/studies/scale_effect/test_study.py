"""Distinct minds in one society: nested sequences, and what counts as distinct."""

import numpy as np
import pytest

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.simulate.mixtures import STRENGTH, draw_mixtures
from evobourse.experiments.studies.run import run_study
from evobourse.experiments.studies.scale_effect import study
from evobourse.experiments.studies.scale_effect.measures import mean_tendencies
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
    monkeypatch.setattr(study, "load_config", lambda place: config)
    monkeypatch.setattr(study, "open_population", lambda place: opened)
    small = ["minds=[1, 3]", "draws=2", "groups=2", "bred=[]"]
    page, _ = run_study("scale_effect", small, tmp_path / "page.md")
    rows = [line for line in page.read_text().splitlines() if line.startswith(("| 1 |", "| 3 |"))]
    assert len(rows) == 4
    assert rows[:2] == rows[2:]  # here the teachers answer in both parts
    values = {line["figure"]: line["value"] for line in told()}
    assert values["distinct behaviours, K*, 3 of teachers"] == pytest.approx(
        values["distinct behaviours, K*, 3 of the model's minds"]
    )
    assert 1 < values["distinct behaviours, K*, 3 of teachers"] < 3


def test_clouds_are_bred_over_the_same_genes_and_gone_on_with(tmp_path, monkeypatch, opened, told):
    config = load_config("quickstart", SMALL)
    monkeypatch.setattr(study, "load_config", lambda place: config)
    monkeypatch.setattr(study, "open_population", lambda place: opened)
    small = ["minds=[1]", "draws=2", "groups=2", "bred=[1, 12]", "seeds=2", "generations=2",
             f"folder={tmp_path / 'runs'}"]  # fmt: skip
    page, picture = run_study("scale_effect", small, tmp_path / "page.md")
    text = page.read_text()
    assert picture.is_file()
    bred = text.partition("## Bred clouds")[2]
    assert "over the same 70 genes" in bred
    rows = [line for line in bred.splitlines() if line.startswith(("| 1 |", "| 12 |"))]
    assert len(rows) == 2
    assert "12 minds less 1, paired by sweep seed" in bred
    values = {line["figure"]: line["value"] for line in told()}
    assert values["distinct behaviours, K*, cloud of 1"] == 1
    assert values["distinct behaviours, K*, cloud of 12"] > 1.5
    runs = sorted(path.parent for path in tmp_path.glob("runs/teachers/*/*/lineage.jsonl"))
    assert [run.parent.name for run in runs] == ["1-minds"] * 2 + ["12-minds"] * 2
    assert not list(tmp_path.glob("runs/**/heldout_readings.jsonl"))  # nobody read the held out
    before = {run: (run / "lineage.jsonl").read_bytes() for run in runs}
    again, _ = run_study("scale_effect", small, tmp_path / "page.md")
    assert again.read_text() == text
    assert before == {run: (run / "lineage.jsonl").read_bytes() for run in runs}
