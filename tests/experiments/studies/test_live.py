"""Personas on real prices: what they are held against, and what the page says."""

import numpy as np
import pytest

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies import live
from evobourse.experiments.studies.live import excess_interval
from evobourse.experiments.studies.run import run_study


def test_the_interval_holds_a_known_difference_as_often_as_it_says():
    known, inside = 0.0004, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        theirs = rng.normal(0, 0.01, 500)
        ours = np.expm1(np.log1p(theirs) + known + rng.normal(0, 0.001, 500))
        _, low, high = excess_interval(ours, theirs, rng)
        inside += low < 100 * 252 * known < high
    assert 52 <= inside <= 60  # binomial, 95 % of 60


def test_the_study_trades_a_series_with_all_and_names_contamination(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "open_population", lambda place: opened)
    small = ["series=sp500", "since=2018-06-01", "agents=5"]
    page, *_ = run_study("live", small, tmp_path / "l.md")
    text = page.read_text()
    assert "**Contamination.**" in text
    for who in ("buy and hold", "half bought and held", "p0", "p1", "teachers, all personas alike"):
        assert text.count(f"| {who} |") == 1
    with pytest.raises(ConfigError, match="set since"):
        run_study("live", ["series=sp500", "since=2018-12-20"], tmp_path / "l.md")
    with pytest.raises(ConfigError, match="expected a date"):
        run_study("live", ["since=soon"], tmp_path / "l.md")
