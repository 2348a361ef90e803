"""Pages of a bundle and of a simulation: their numbers are those of the files."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.stored_answers import gather_answers
from evobourse.evolve.bases.stand_ins import ServedTeachers, TeacherBases
from evobourse.evolve.bundle import Bundle, Reference, write_bundle
from evobourse.experiments.cli.main import app
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.sections import MOST_SHOWN
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.simulate.report import render_bundle, render_simulation
from evobourse.market.rules import MarketRules
from evobourse.market.tape.movers import find_movers

AGENTS, DAYS = 40, 60  # of the fixture `tapes`


def chapters(page):
    return re.findall(r'<section id="(\w+)">', page)


def numbers(page, name):
    """Read a table or picture's download."""
    [data] = re.findall(rf'download="{name}.csv" href="data:text/csv;base64,([^"]+)"', page)
    return pd.read_csv(io.BytesIO(base64.b64decode(data)))


def test_a_bundles_page_has_its_scores_choices_and_people(small_bundle):
    page = render_bundle(small_bundle)
    assert chapters(page) == ["scoreboard", "choices", "population", "settings"]
    assert numbers(page, "scoreboard")["score"].tolist() == [3.0]
    assert numbers(page, "personas")["persona"].tolist() == ["p1", "p0"]
    choices = numbers(page, "choices").set_index("persona")
    # a contrarian sells what a follower of trends buys
    assert choices.loc["p0", "soaring"] < -0.5 < 0.5 < choices.loc["p1", "soaring"]
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_of_many_personas_a_page_shows_the_largest_and_has_the_numbers_of_all(
    population, offsets, sp500, style_folders, tmp_path
):
    count = MOST_SHOWN + 20
    who = population([[n / count, 0.0] for n in range(count)], attention=1)
    people = tuple(replace(p, share=1.0 + (n == count - 1)) for n, p in enumerate(who.personas))
    who = replace(who, personas=people)
    styles = ("momentum", "contrarian")
    bundle = Bundle(
        "many", "teachers", TeacherBases(styles).base_hash, 1, None,
        tuple(style_folders[name] for name in styles), (), who, offsets, MarketRules(),
        history_ticks(sp500.close[:1000]), Reference(60, 30, 1, "f00d"),
        answers=gather_answers(who, ServedTeachers(styles)),
    )  # fmt: skip
    write_bundle(tmp_path / "bundle", bundle, 30, [], "card")
    page = render_bundle(tmp_path / "bundle")
    assert page.count("and of those alike the first; 20 more are in the numbers.") == 2
    shown = [n for n in range(count) if f'<td class="brief">p{n}</td>' in page]
    assert shown == [*range(MOST_SHOWN - 1), count - 1]
    for table in ("choices", "personas"):
        assert numbers(page, table)["persona"].tolist() == [
            f"p{count - 1}", *(f"p{n}" for n in range(count - 1))
        ]  # fmt: skip
    open_population(tmp_path / "bundle").simulate(200, 30, seed=1).write(tmp_path / "tape")
    page = render_simulation(tmp_path / "tape")
    chosen = numbers(page, "choices")
    most = sorted(chosen.nlargest(MOST_SHOWN, "decisions")["persona"])
    assert len(chosen) > MOST_SHOWN
    assert re.findall(r'<td class="brief">persona (\d+)</td>\s*<td class="number">', page)[
        :MOST_SHOWN
    ] == [str(n) for n in most]


def test_a_simulations_page_is_its_tape(tapes):
    page = render_simulation(tapes / "fast")
    assert chapters(page) == ["prices", "personas", "movers", "facts"]
    prices = pd.read_parquet(tapes / "fast" / "prices.parquet")
    np.testing.assert_array_equal(numbers(page, "prices_0")["close_ticks"], prices["close_ticks"])
    chosen = numbers(page, "choices")
    assert chosen["decisions"].sum() == AGENTS * DAYS
    decisions = pd.read_parquet(tapes / "fast" / "decisions.parquet")
    means = decisions.groupby("persona")["tendency"].mean()
    np.testing.assert_allclose(chosen.set_index("persona")["tendency"], means)
    assert re.search(r"Against sp500, \d+ days a window: J/J95 [\d.]+, \w+", page)
    assert len(numbers(page, "facts")) > 5
    movers = numbers(page, "movers")
    pd.testing.assert_frame_equal(movers, find_movers(tapes / "fast"), check_dtype=False)
    largest = movers.loc[movers["log_move"].abs().idxmax()]
    assert f'<td class="number">{largest["day"]:.0f}</td>' in page
    assert f"{np.expm1(largest['log_move']):+.2%}" in page


def test_an_exchanges_page_tells_its_events(tapes):
    page = render_simulation(tapes / "exchange")
    assert chapters(page) == ["prices", "personas", "movers", "facts", "events"]
    assert "; - are all others" in page  # the market makers
    assert "&lt;b&gt;Fraud&lt;/b&gt; (tone: -6.0)" in page
    assert "<b>Fraud" not in page
    assert "agents: 3" in page
    assert numbers(page, "events")["kind"].tolist() == ["news", "rumour"]


def test_days_too_few_to_be_scored_are_said(small_bundle, tmp_path):
    open_population(small_bundle).simulate(AGENTS, 5, seed=1).write(tmp_path / "short")
    assert "Not scored against sp500: " in render_simulation(tmp_path / "short")


def test_a_folder_without_a_tape_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no run, simulation or bundle"):
        render_simulation(tmp_path)


def test_the_command_takes_what_it_is_given(small_bundle, tapes, tmp_path):
    def report(*arguments):
        return CliRunner().invoke(app, ["report", *map(str, arguments), "--json"])

    done = report(tapes / "exchange")
    assert json.loads(done.stdout) == {"report": str(tapes / "exchange" / "report.html")}
    done = report(small_bundle, "--out", tmp_path / "b.html")
    assert (tmp_path / "b.html").read_text().startswith("<!doctype html>")
    (tmp_path / "page.md").write_text("# Found\n\nIt is.\n")
    assert report(tmp_path / "page.md").exit_code == 0
    assert "<h1>Found</h1>" in (tmp_path / "page.html").read_text()
    refused = report(tmp_path)
    assert isinstance(refused.exception, ConfigError)
    assert "name one of these" in str(refused.exception)
