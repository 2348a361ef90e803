import json

import numpy as np
import pytest
from scipy.stats import ttest_1samp

import evobourse.fitness.moments
from evobourse.experiments.studies.market_checks import study as checks


def test_intervals_are_students():
    values = np.random.default_rng(0).normal(3.0, 1.0, 9)
    low, high = ttest_1samp(values, 0.0).confidence_interval()
    assert checks.interval(values, 4) == f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"
    assert checks.interval(np.array([-1e-9, -2e-9]), 2) == "0.00 [0.00, 0.00]"


def test_a_moment_keeps_its_name_and_volatility_is_in_percent():
    returns = np.random.default_rng(0).normal(0.0, 0.02, (3, 400))
    row = dict(zip(checks.NAMES, checks.describe(returns).T, strict=True))
    np.testing.assert_allclose(row.pop("volatility %"), 100 * returns.std(axis=1))
    for name, values in row.items():
        np.testing.assert_array_equal(values, getattr(evobourse.fitness.moments, name)(returns))


def test_a_small_run_writes_every_table_and_figure(tmp_path, monkeypatch, capsys):
    for name, value in {
        "TURNS": {True: 120, False: 120},
        "AUCTION_SEEDS": 2,
        "BURN_IN_DAYS": 5,
        "DAYS": 60,
        "SEEDS": 2,
        "DIRECT_PATHS": 50,
        "_play": lambda what, calls, title: [what(*call) for call in calls],
    }.items():
        monkeypatch.setattr(checks, name, value)
    checks.main(tmp_path / "checks.md")
    text = (tmp_path / "checks.md").read_text()
    assert "nan" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in rows}
    assert widths == {4 + 1, 5 + 1, 6 + 1}
    for name in (*checks.NAMES, *checks.SCHEDULES):
        assert any(row.startswith(f"| {name}") for row in rows)
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(lines) == 5
    assert all(set(line) == {"bench", "figure", "value", "unit", "peer", "ratio"} for line in lines)
    figures = {line["figure"]: line for line in lines}
    assert figures["volatility through impact"]["ratio"] == pytest.approx(1.0, abs=0.02)
