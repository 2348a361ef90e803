import dataclasses
import math

import numpy as np
import pytest
from arch.data import sp500
from matplotlib.colors import to_hex

from evobourse.evolve.errors import RunError
from evobourse.experiments.reports import run_page as report
from evobourse.experiments.reports.run_page import ReportData, draw_report, save_report
from evobourse.fitness.distance import make_target
from evobourse.fitness.palette import COLOURS

DAYS, PATHS = 120, 12


@pytest.fixture(scope="module")
def data():
    close = sp500.load()["Close"]["2011-01-01":"2015-12-31"]
    returns = np.log(close).diff().dropna().to_numpy()
    rng = np.random.default_rng(7)
    target = make_target(returns, DAYS, 4, rng, resamples=200, split="heldout")
    real = np.lib.stride_tricks.sliding_window_view(returns, DAYS)[::90]
    names = ("evolved", "unevolved", "gbm", "gbm-history", "garch_t", "fw", "bootstrap_target")
    simulated = {name: rng.normal(0.0, 0.01, (PATHS, DAYS)) for name in names}
    board = [row(name, 2.0 + i) for i, name in enumerate(names)]
    history = [(0, 9.0, 20.0), (1, math.inf, math.inf), (2, 1.2, 6.0)]
    return ReportData("test run", "sp500", target, real, simulated, board, history)


def row(name, score, split="heldout"):
    return {
        "name": name, "asset": "sp500", "split": split, "score": score, "ci_low": score,
        "ci_high": score, "mcr": 0.5, "seeds": PATHS, "windows": PATHS, "days": DAYS,
        "decisions": 0, "seconds": 1.0,
    }  # fmt: skip


def panel(figure, title):
    return next(ax for ax in figure.axes if ax.get_title(loc="left").startswith(title))


def texts(figure):
    inside = [text.get_text() for ax in figure.axes for text in ax.texts]
    return "\n".join([text.get_text() for text in figure.texts] + inside)


def png(figure):
    return report.figure_bytes(figure)


def test_the_page_says_years_seeds_and_verdict(data):
    dated = dataclasses.replace(data, heldout_dates=("2011-01-01", "2015-12-31"))
    figure = draw_report(dated)
    assert "2011-01-01 to 2015-12-31" in texts(figure)
    assert f"{PATHS} seeds" in texts(figure)
    assert "evolved market 2.00 [2.00, 2.00] (rejected at 5 %)" in texts(figure)
    assert png(figure)


def test_one_colour_is_one_market(data):
    figure = draw_report(data)
    legend = panel(figure, "Moments, held out").get_legend()
    shown = {text.get_text() for text in legend.get_texts()}
    assert {
        "evolved market",
        "before evolution",
        "random walk",
        "GARCH-t",
        "Franke-Westerhoff",
    } <= shown
    for title, colour in (("Evolved market", COLOURS[0]), ("Before evolution", COLOURS[1])):
        lines = panel(figure, title).lines
        assert to_hex(lines[0].get_color()) == colour.lower()
    dots = [line for line in panel(figure, "Scoreboard").lines if line.get_marker() == "o"]
    assert [to_hex(dot.get_color()) for dot in dots[:3]] == [c.lower() for c in COLOURS[:3]]


def test_the_stronger_variant_of_a_baseline_is_shown(data):
    rows = [row("gbm", 5.0), row("gbm-history", 3.0), row("evolved", 1.0)]
    figure = draw_report(dataclasses.replace(data, scoreboard=rows))
    legend = panel(figure, "Moments, held out").get_legend()
    assert "conditional walk" in {text.get_text() for text in legend.get_texts()}


@pytest.mark.parametrize("lost", [math.inf, None, math.nan])
def test_an_infinite_score_is_an_arrow_at_the_edge(data, lost):
    rows = [row("evolved", 0.8), dict(row("gbm", 1.0), score=lost, ci_low=lost, ci_high=lost)]
    figure = draw_report(dataclasses.replace(data, scoreboard=rows))
    board = panel(figure, "Scoreboard")
    [arrow] = [line for line in board.lines if line.get_marker() == ">"]
    assert arrow.get_xdata()[0] == board.get_xlim()[1]
    assert "degenerate paths" in texts(figure)
    assert "(not rejected at 5 %)" in texts(figure)
    assert png(figure)


def test_best_on_top_and_other_splits_left_out(data):
    rows = [*data.scoreboard[::-1], row("evolved", 0.1, split="train")]
    board = panel(draw_report(dataclasses.replace(data, scoreboard=rows)), "Scoreboard")
    names = [label.get_text() for label in board.get_yticklabels()]
    assert names[0] == "evolved market"
    assert len(names) == len(data.scoreboard)
    assert board.get_ylim()[0] > board.get_ylim()[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"scoreboard": []},
        {"history": []},
        {"history": [(0, 3.0, math.inf)]},
        {"history": [(0, math.inf, math.inf)]},
        {"history": [(0, 0.0, 1e9)], "scoreboard": [row("evolved", 0.0), row("gbm", 1e7)]},
        {"simulated": {"evolved": np.random.default_rng(0).normal(0, 0.01, (2, DAYS))}},
        {"simulated": {"evolved": np.zeros((3, DAYS)), "gbm": np.full((3, DAYS), np.nan)}},
        {"simulated": {"evolved": np.random.default_rng(0).normal(0, 20.0, (3, DAYS))}},
    ],
)
def test_whatever_is_missing_or_broken_the_page_is_drawn(data, changes):
    assert png(draw_report(dataclasses.replace(data, **changes)))


def test_the_file_is_written_whole_or_not_at_all(data, tmp_path, monkeypatch):
    path = tmp_path / "run" / "report.png"
    save_report(data, path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.setattr(report, "draw_report", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_report(data, path)
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "report.png").mkdir()
    with pytest.raises(RunError, match="cannot write"):
        save_report(data, tmp_path / "report.png")
