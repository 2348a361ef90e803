"""A branch is the market that it left until something happens, and then the market with it."""

from dataclasses import replace

import numpy as np
import pytest

from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.exchange import build_scenario, record_run
from evobourse.experiments.studies.impact.what_if import default_events, play_what_ifs
from evobourse.experiments.studies.run import run_study
from evobourse.market.events.kinds import News

AGENTS, DAYS, DAY = 60, 30, 20
BAD = News(day=0, text="bad", tone=-4.0)


def test_a_branch_is_the_market_that_would_have_been(opened, tmp_path):
    bundle, choices = opened.bundle, opened.table()
    size = Size(AGENTS, DAYS, 3)
    happenings = {"nothing": (), "bad": (BAD,)}
    found = play_what_ifs(Scenario(), bundle, choices, happenings, DAY, 2, size)
    assert found["bad"].price.shape == (2, DAYS - DAY)
    assert not found["nothing"].price.any()
    assert (found["nothing"].volume == 1).all()
    for row, seed in enumerate((3, 4)):
        closes = []
        for events in ([], [replace(BAD, day=DAY)]):
            name = str(tmp_path / f"{seed}{len(events)}")
            exchange = build_scenario(
                Scenario(), bundle, choices, replace(size, seed=seed), events=events
            )
            tape = record_run(exchange, DAYS, tmp_path / name)
            closes.append(tape.frame("prices")["close_ticks"].to_numpy())
        np.testing.assert_array_equal(closes[0][:DAY], closes[1][:DAY])
        np.testing.assert_allclose(found["bad"].price[row], np.log(closes[1] / closes[0])[DAY:])
    assert (found["bad"].tendency < 0).all()


def test_the_study_writes_both_parts(opened, tmp_path, monkeypatch, told):
    from evobourse.experiments.studies.impact import study

    monkeypatch.setattr(study, "open_population", lambda place: opened)
    small = ["agents=40", "days=36", "pairs=2", "rates=0.2", "branch_day=30"]
    page, picture = run_study("impact", small, tmp_path / "impact.md")
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(default_events(opened.bundle, 40))
    assert len({row.count("|") for row in rows}) == 1
    assert picture.is_file()
    names = [line["figure"] for line in told()]
    assert sum(name.startswith("log price on the first day") for name in names) == len(rows) - 1


def test_a_branch_after_the_end_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="branch before the end"):
        run_study("impact", ["days=30", "branch_day=30"], tmp_path / "page.md")
