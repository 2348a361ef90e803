"""Stocks that move together or not: known correlations, and what news for all does."""

import numpy as np
import pytest

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies import industries
from evobourse.experiments.studies.industries import (
    ARMS,
    Settings,
    common_part,
    daily_news,
    make_cast,
    pair_correlations,
    play_arm,
    real_returns,
)
from evobourse.experiments.studies.run import run_study


def test_known_returns_have_known_correlations():
    rng = np.random.default_rng(1)
    common, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, 3))
    both = common + own
    np.testing.assert_allclose(pair_correlations(both), 0.5, atol=0.02)
    assert common_part(both) == pytest.approx(2 / 3, abs=0.02)
    assert common_part(own) == pytest.approx(1 / 3, abs=0.02)


def test_real_stocks_are_those_of_the_days_that_are_simulated():
    found = real_returns(Settings(days=60))
    assert found.shape == (60, 4)
    assert 0.2 < pair_correlations(found).mean() < 0.9  # one market, one year
    with pytest.raises(ConfigError, match="days after 2013-01-31"):
        real_returns(Settings(days=60, until="2013-01-31"))


def test_a_cast_has_investors_of_every_style_and_who_speaks():
    styles, settings = ("momentum", "value"), Settings(investors=3)
    for arm in ARMS:
        cast = make_cast(settings, styles, arm)
        kinds = [member.kind for member in cast.members]
        assert kinds.count("investor") == 8
        assert kinds.count("company") == (4 if arm == "companies" else 0)
        assert kinds.count("industry") == (1 if arm.startswith("industry") else 0)


def test_news_for_all_is_the_same_in_every_stock_and_changes_the_market(opened):
    settings = Settings(stocks=("ibm", "msft"), seeds=2, investors=20, days=30)
    given = (opened.bundle, opened.minds)
    alone, told, again = (
        play_arm(settings, arm, *given) for arm in ("investors alone", "common news", "common news")
    )
    np.testing.assert_array_equal(told, again)
    assert alone.shape == told.shape == (2, 30, 2)
    assert (alone != told).any(axis=1).all()  # every stock of every market
    tones = [[event.tone for event in daily_news(30, seed).events] for seed in (1, 1, 2)]
    assert tones[0] == tones[1] != tones[2]


def test_the_study_has_a_row_an_arm_below_the_real_stocks(opened, tmp_path, monkeypatch, told):
    monkeypatch.setattr(industries, "open_population", lambda place: opened)
    small = ["stocks=[ibm, msft]", "arms=[investors alone, common news]", "seeds=2"]
    page, *_ = run_study("industries", [*small, "investors=4", "days=40"], tmp_path / "i.md")
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0][2:] for row in rows[1:]] == [
        "real, the same days",
        "investors alone",
        "common news",
    ]
    assert [line["value"] for line in told()] == pytest.approx(
        [float(row.split(" | ")[1].split()[0]) for row in rows[2:]], abs=0.006
    )
    with pytest.raises(ConfigError, match="'firms' is unknown"):
        run_study("industries", ["arms=firms"], tmp_path / "i.md")
