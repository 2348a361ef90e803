import numpy as np
import pytest

import evobourse.fitness.moments
from evobourse.experiments.studies.market_checks import study as checks


def test_a_moment_keeps_its_name_and_volatility_is_in_percent():
    returns = np.random.default_rng(0).normal(0.0, 0.02, (3, 400))
    row = dict(zip(checks.NAMES, checks.describe(returns).T, strict=True))
    np.testing.assert_allclose(row.pop("volatility %"), 100 * returns.std(axis=1))
    for name, values in row.items():
        np.testing.assert_array_equal(values, getattr(evobourse.fitness.moments, name)(returns))


def test_a_small_run_writes_every_table_and_figure(monkeypatch, report, told):
    monkeypatch.setattr(
        checks, "_play", lambda what, calls, title, report: [what(*call) for call in calls]
    )
    small = checks.Settings(
        auction_seeds=2,
        budget_turns=120,
        free_turns=120,
        seeds=2,
        burn_in_days=5,
        days=250,
        paths=50,
    )
    text = checks.run(small, report).text
    assert text.startswith("# Textbook and published checks")
    assert f"Written by `{report.command}`; do not edit." in text
    assert "nan" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in rows}
    assert widths == {4 + 1, 5 + 1, 6 + 1}
    for name in (*checks.NAMES, *checks.SCHEDULES):
        assert any(row.startswith(f"| {name}") for row in rows)
    lines = told()
    assert len(lines) == 5
    assert all(set(line) == {"bench", "figure", "value", "unit", "peer", "ratio"} for line in lines)
    figures = {line["figure"]: line for line in lines}
    assert figures["volatility through impact"]["ratio"] == pytest.approx(1.0, abs=0.02)
