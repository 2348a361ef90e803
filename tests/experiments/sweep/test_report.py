"""A run's page: what it says is what the run's files say, and nothing in them becomes code."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.page import Bar, Section, Table, Text, render_report
from evobourse.experiments.reports.paths import paths_to_bytes, read_paths
from evobourse.experiments.reports.verdict import verdict
from evobourse.experiments.sweep.report import read_run, render_run

DAYS, PATHS = 120, 8


def row(name, split, score, low, high, **more):
    return {
        "name": name, "asset": "sp500", "split": split, "score": score, "ci_low": low,
        "ci_high": high, "p_holm": 0.01, "mcr": 0.25, "seeds": PATHS, **more,
    }  # fmt: skip


ROWS = [
    row("evolved", "train", 2.0, 1.5, 2.5),
    row("evolved", "heldout", 3.0, 2.5, 3.5),
    row("unevolved", "heldout", 9.0, 8.0, 10.0),
    row("garch_t", "heldout", 1.2, 1.0, 1.4),
    row("gbm", "heldout", 3.2, 2.0, 4.0),
    row("random_tendencies", "heldout", None, None, None),
]


@pytest.fixture
def begun(tmp_path):
    """Write a run that has scored four candidates, one of which failed."""
    folder = RunFolder(tmp_path)
    config = load_config("quickstart", [f"market.days={DAYS}", "name=<b>bold</b>"])
    folder.config.write_text(config.to_yaml())
    first = Candidate(
        "g000-s00-f00", 0, (), {"society": {"activity": 0.5}}, None, (1,), 4.0, {}, None
    )
    second = Candidate(
        "g000-s00-f01", 0, (), {"society": {"activity": 0.9}}, None, (1,), None, {}, "<i>no</i>"
    )
    third = Candidate(
        "g001-s00-f00", 1, ((first.id, 1.0),), {"society": {"activity": 0.7}}, None, (1,), 2.5,
        {}, None,
    )  # fmt: skip
    Lineage(folder.lineage).append([first, second, third])
    return folder


@pytest.fixture
def judged(begun):
    """The same after its held-out windows were read."""
    rng = np.random.default_rng(0)
    markets = {
        name: sigma * rng.standard_t(4, (PATHS, DAYS)) / np.sqrt(2)
        for name, sigma in (("real", 0.01), ("evolved", 0.012), ("gbm", 0.01))
    }
    begun.paths.write_bytes(paths_to_bytes(markets.pop("real"), markets))
    begun.scoreboard.write_text(json.dumps(ROWS))
    return begun


def chapters(page):
    return re.findall(r'<section id="(\w+)">', page)


def numbers(page, name):
    """Read a table or picture's download."""
    [data] = re.findall(rf'download="{name}.csv" href="data:text/csv;base64,([^"]+)"', page)
    return pd.read_csv(io.BytesIO(base64.b64decode(data)))


def test_a_run_that_is_going_on_shows_what_there_is(begun):
    page = render_run(read_run(begun))
    assert chapters(page) == ["search", "census", "lineage", "settings"]
    assert "best training score so far is 2.50 (g001-s00-f00)" in page
    assert "have not been read yet" in page
    assert numbers(page, "learning").to_dict("list") == {
        "generation": [0, 1], "best": [4.0, 2.5], "median": [np.inf, 2.5]
    }  # fmt: skip
    assert numbers(page, "genes")["champion"].tolist() == [0.7]


def test_a_judged_run_carries_its_numbers(judged):
    run = read_run(judged)
    page = render_run(run)
    assert chapters(page) == [
        "scoreboard", "paths", "facts", "search", "census", "lineage", "settings"
    ]  # fmt: skip
    assert verdict(ROWS).split(";")[0] in page
    board = numbers(page, "scoreboard")
    assert len(board) == len(ROWS)
    assert board.query("name == 'evolved' and split == 'heldout'")["score"].tolist() == [3.0]
    drawn = numbers(page, "log_returns_evolved").to_numpy().T
    np.testing.assert_allclose(drawn, run.paths["evolved"], rtol=1e-12)
    facts = numbers(page, "facts").set_index("name")
    assert facts.loc["excess_kurtosis", "paths"] == PATHS
    lower = (run.paths["evolved"].sum(axis=1) < 0).mean()
    assert f"evolved market {lower:.0%}" in page


def test_what_people_wrote_stays_text(begun):
    page = render_run(read_run(begun))
    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<i>no</i>" not in page.replace("\\u003c", "<").split('<script id="data"')[0]


def test_the_page_needs_nothing_else(judged):
    page = render_run(read_run(judged))
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "@import" not in page


def test_paths_come_back_as_they_were(tmp_path):
    real, evolved = np.array([[0.1, np.nan], [0.0, -0.3]]), np.array([[0.2, 1e-300]])
    (tmp_path / "paths").write_bytes(paths_to_bytes(real, {"evolved": evolved}))
    found = read_paths(tmp_path / "paths")
    assert list(found) == ["real", "evolved"]
    np.testing.assert_array_equal(found["real"], real)
    np.testing.assert_array_equal(found["evolved"], evolved)


def test_cells_are_escaped_and_bars_stay_inside():
    bar = Bar(1.7, -0.5, 0.4, (-1.0, 2.0))
    assert (bar.at, bar.low, bar.band) == (1.0, 0.0, (0.0, 1.0))
    table = Table(["a", "#b"], [["<x>", bar]], pd.DataFrame({"a": ["<x>"]}), "t")
    page = render_report("t", [], [Section("one", "One", ["a & b"], [table, Text("c", "<y>")])])
    assert "&lt;x&gt;" in page
    assert "&lt;y&gt;" in page
    assert "a &amp; b" in page
    assert "<nav" not in page  # one chapter needs no list of them
