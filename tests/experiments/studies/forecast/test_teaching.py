"""Forecasters taught by a small market and by every law, the teachers' rules as minds."""

import re
from pathlib import Path

import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.studies.forecast.teaching import teach, teaching_table
from evobourse.market.rules import MarketRules

QUICKSTART = Path(__file__).parents[4] / "experiments" / "quickstart.yaml"
SMALL = ("market.agents=40", "market.days=60", "market.paths=2", "workers=1")


@pytest.fixture(scope="module")
def rows(population, offsets, sp500):
    nothing = dict.fromkeys(Bundle.__dataclass_fields__)
    given = {
        "population": population([[0.0, 1.0], [1.0, 0.0]], attention=2, momentary_mask=0.3),
        "offsets": offsets,
        "rules": MarketRules(),
        "history": history_ticks(sp500.close[:1000]),
    }
    minds = TeacherMinds(("momentum", "news-driven"))
    return list(teach(load_config(QUICKSTART, SMALL), Bundle(**{**nothing, **given}), minds, 3))


def test_every_market_is_held_against_the_same_real_teacher(rows):
    names = [row.name for row in rows]
    assert names[0] == "evolved"
    assert {"gbm", "garch_t", "bootstrap_train"} < set(names)
    assert "bootstrap_target" not in names
    for quantity in ("magnitude", "return"):
        scores = [score for row in rows for score in row.scores[quantity]]
        assert len(scores) == 3 * len(rows)
        assert len({(score.real, score.constant) for score in scores}) == 1
        assert {score.quantity for score in scores} == {quantity}
        assert all(score.ratio > 0.9 for score in scores)
        assert len({score.ratio for score in scores}) == len(scores)  # a forecaster each


def test_the_table_has_a_row_a_teacher(rows):
    table = [line for line in teaching_table(rows).splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 1 + len(rows) + 1
    real = next(row for row in rows if row.name == "bootstrap_train").scores["magnitude"]
    [line] = [line for line in table if line.startswith("| real training days")]
    mean, low, high = map(float, re.findall(r"\d\.\d+", line)[:3])
    assert low < mean < high
    assert mean == pytest.approx(sum(score.ratio for score in real) / 3, abs=5e-4)
