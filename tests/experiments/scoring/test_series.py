"""Scoring a series: what is read, what is refused, what is found, what is printed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.main import get_command

from evobourse.experiments.cli.main import app
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figures import figure_bytes
from evobourse.experiments.scoring.daily import Daily, read_daily
from evobourse.experiments.scoring.page import draw_score
from evobourse.experiments.scoring.series import SeriesScore, score_series
from evobourse.experiments.scoring.table import print_score
from evobourse.fitness.distance import make_target
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.fact_table import FACT_NAMES
from evobourse.fitness.moments import MOMENT_NAMES, measured, moments
from evobourse.market.errors import MarketError
from evobourse.market.series.named import SERIES_NAMES

ROOT = Path(__file__).parents[3]


def evobourse(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evobourse.experiments.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def write_closes(file: Path, log_returns: np.ndarray, **columns: object) -> Path:
    """Write date and close, starting at 100, and any other column."""
    close = 100 * np.exp(np.concatenate(([0.0], np.cumsum(log_returns))))
    dates = pd.bdate_range("2000-01-03", periods=len(close))
    frame = pd.DataFrame({"date": dates, "close": close, **columns})
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)
    return file


def normal(days: int, seed: int = 0) -> np.ndarray:
    return 0.012 * np.random.default_rng(seed).standard_normal(days)


def printed(result: SeriesScore) -> str:
    screen = io.StringIO()
    print_score(result, Console(width=80, file=screen))
    return screen.getvalue()


@pytest.fixture(scope="module")
def real() -> Daily:
    return read_daily("sp500")


@pytest.fixture(scope="module")
def itself(real: Daily) -> SeriesScore:
    return score_series(read_daily("sp500"), real)


@pytest.fixture(scope="module")
def walk(real: Daily, tmp_path_factory: pytest.TempPathFactory) -> SeriesScore:
    file = write_closes(tmp_path_factory.mktemp("walk") / "walk.csv", normal(5030))
    return score_series(read_daily(str(file)), real)


def test_the_real_market_is_not_rejected_against_itself(itself: SeriesScore) -> None:
    assert itself.conclusion == "not rejected"
    assert itself.score.ratio < 0.5
    assert itself.score.p_value > 0.5
    values, target = itself.score.per_path, itself.target
    within = (values >= target.moment_low) & (values <= target.moment_high)
    assert itself.mcr == np.mean([all(row) for row in within])
    assert 0.4 < itself.mcr < 0.8
    assert 0.4 < itself.real_mcr < 0.8
    assert any("against itself" in note for note in itself.notes)
    assert all(abs(row.standard_errors) < 2 for row in itself.moments)


def test_a_random_walk_is_rejected_and_has_no_facts(walk: SeriesScore) -> None:
    assert walk.conclusion == "rejected"
    assert walk.score.p_value == 0.0
    assert walk.resolution.walk_passes < 0.01
    assert walk.mcr < 0.2 < walk.real_mcr
    facts = {row.name: row for row in walk.facts}
    for name in ("excess_kurtosis", "volatility_clustering", "leverage", "conditional_kurtosis"):
        assert abs(facts[name].simulated) < 0.2, name
        assert abs(facts[name].standard_errors) > 3, name
    assert facts["fano_factor"].simulated == pytest.approx(0.9, abs=0.2)
    assert facts["decay_exponent"].defined <= 2


def test_every_window_counts_once_and_the_latest_days_are_kept(
    walk: SeriesScore, real: Daily
) -> None:
    assert (walk.target.paths, walk.target.window_days) == (20, 250)
    windows = normal(5030)[30:].reshape(20, 250)
    expected = moments(windows, float(np.std(real.log_returns)))
    np.testing.assert_allclose(walk.score.per_path, expected, rtol=1e-6)
    rng = np.random.default_rng(0)
    target = make_target(real.log_returns, 250, 20, rng, split="sp500", volume=real.volume)
    assert walk.target.content_hash == target.without_volume().content_hash
    row = walk.moments[MOMENT_NAMES.index("hill")]
    assert row.simulated == pytest.approx(expected[:, 1].mean())
    assert row.coverage == np.mean(
        (expected[:, 1] >= target.moment_low[1]) & (expected[:, 1] <= target.moment_high[1])
    )
    assert "walk: its first 30 days are over and left out" in walk.notes


def test_a_short_walk_passes_and_is_undecided(real: Daily) -> None:
    result = score_series(Daily("walk", "", normal(250), np.zeros(250)), real)
    assert result.score.p_value > 0.05
    assert result.conclusion == "undecided"
    share = result.resolution.walk_passes
    assert share > 0.5
    assert result.resolution.windows_needed in (2, 4, 8)
    said = f"Gaussian random walks of one window pass in {share:.0%} of cases"
    assert said in " ".join(printed(result).split())
    assert result.as_json()["walk_passes"] == share


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_many_paths_are_scored_as_one_set(tmp_path: Path, real: Daily, ending: str) -> None:
    """A folder of files, a table with a column ``path`` and one long series: the same windows."""
    r = normal(1000).reshape(4, 250)
    closes = 100 * np.exp(np.cumsum(np.pad(r, ((0, 0), (1, 0))), axis=1))
    folder = tmp_path / "paths"
    folder.mkdir()
    for i, path in enumerate(r):
        write_closes(folder / f"{i}.{ending}", path)
    table = pd.DataFrame({"path": np.repeat([*"dbca"], 251), "close": closes.ravel()})
    file = tmp_path / f"long.{ending}"
    table.to_csv(file, index=False) if ending == "csv" else table.to_parquet(file)
    for place in (folder, file):
        many = read_daily(place)
        assert many.lengths == (250,) * 4
        result = score_series(many, real)
        np.testing.assert_allclose(result.windows, r, atol=1e-9)
    assert result.target.paths == 4
    assert result.series.span == "4 paths of 250 to 250 days"


def test_a_dead_path_among_many_is_named(tmp_path: Path, real: Daily) -> None:
    r = normal(750).reshape(3, 250)
    r[1] = 0.0
    closes = 100 * np.exp(np.cumsum(np.pad(r, ((0, 0), (1, 0))), axis=1))
    file = tmp_path / "long.csv"
    pd.DataFrame({"path": np.repeat(range(3), 251), "close": closes.ravel()}).to_csv(file)
    result = score_series(read_daily(file), real)
    assert (result.conclusion, result.score.verdict) == ("degenerate", "path 1: constant price")


def test_a_table_of_paths_that_says_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("path,close\n1,100\n1,-3\n")
    with pytest.raises(ConfigError, match=r"row 2 of path 1 has no close above 0"):
        read_daily(file)
    file.write_text("path,price\n1,100\n")
    with pytest.raises(ConfigError, match="expected path and close"):
        read_daily(file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no price file and no tape"):
        read_daily(tmp_path / "empty")


def test_csv_parquet_and_full_bars_read_alike(tmp_path: Path, real: Daily) -> None:
    r = normal(400)
    plain = read_daily(str(write_closes(tmp_path / "a.csv", r)))
    parquet = read_daily(str(write_closes(tmp_path / "b.parquet", r)))
    sides = {"open": 100, "high": 1e6, "low": 1}
    bars = read_daily(str(write_closes(tmp_path / "c.csv", r, **sides, volume=range(401))))
    np.testing.assert_allclose(plain.log_returns, r, atol=1e-9)
    np.testing.assert_allclose(parquet.log_returns, r, atol=1e-9)
    np.testing.assert_allclose(bars.log_returns, r, atol=1e-9)
    assert bars.volume.tolist() == list(range(1, 401))
    assert not plain.volume.any()


def test_a_tape_begins_at_the_last_close_of_its_history(tmp_path: Path, real: Daily) -> None:
    r = normal(250)
    ticks = np.round(10_000 * np.exp(np.cumsum(r))).astype(np.int64)
    table = pa.table({"day": range(250), "close_ticks": ticks, "volume": [5] * 250})
    table = table.replace_schema_metadata({"initial_close_ticks": "10000"})
    pq.write_table(table, tmp_path / "prices.parquet")
    for source in (tmp_path, tmp_path / "prices.parquet"):
        tape = read_daily(str(source))
        np.testing.assert_allclose(tape.log_returns, r, atol=2e-4)
        assert tape.volume.tolist() == [5] * 250
    result = score_series(tape, real)
    assert result.target.paths == 1
    assert "1 window of 250 days" in printed(result)
    with pytest.raises(ConfigError, match="a tape has no dates"):
        read_daily(str(tmp_path), "2000-01-03:2001-01-03")


@pytest.mark.parametrize("name", SERIES_NAMES)
def test_every_shipped_series_can_be_held_against_and_is_named_in_the_help(name: str) -> None:
    daily = read_daily(name)
    assert daily.name == name
    assert daily.volume.any() != (name in ("wti", "vix"))
    option = next(p for p in get_command(app).commands["score"].params if p.name == "against")
    assert name in option.help.replace(".", "").split(": a file or ")[1].split(", ")


def test_an_unadjusted_file_is_scored_once_it_is_said_what_to_do(
    tmp_path: Path, real: Daily
) -> None:
    close = 100 * np.exp(np.cumsum(normal(300)))
    close[:150] *= 2 * close[150] / close[149] / 1.0001
    days = pd.bdate_range("2000-01-03", periods=300)
    pd.DataFrame({"date": days, "close": close}).to_csv(tmp_path / "split.csv", index=False)
    source = str(tmp_path / "split.csv")
    with pytest.raises(MarketError, match=r"row 151 .* looks like a 2:1 stock split"):
        read_daily(source)
    adjusted = read_daily(source, stock_splits="adjust").log_returns
    accepted = read_daily(source, stock_splits="accept").log_returns
    np.testing.assert_allclose(np.delete(adjusted - accepted, 149), 0, atol=1e-12)
    assert (adjusted - accepted)[149] == pytest.approx(np.log(2))


def test_a_split_cuts_the_real_series(real: Daily) -> None:
    part = read_daily("sp500", "1999-01-04:2010-12-31")
    assert part.span == "1999-01-04 to 2010-12-31"
    np.testing.assert_array_equal(part.log_returns, real.log_returns[: len(part.log_returns)])
    with pytest.raises(ConfigError, match="expected FROM:TO"):
        read_daily("sp500", "1999")
    with pytest.raises(MarketError, match="expected a date"):
        read_daily("sp500", "1999-01-04:tomorrow")
    with pytest.raises(MarketError, match="outside the series"):
        read_daily("sp500", "1950-01-04:2010-12-31")


def test_a_series_shorter_than_a_year_is_one_window(real: Daily) -> None:
    result = score_series(Daily("short", "", normal(90), np.zeros(90)), real)
    assert (result.target.paths, result.target.window_days) == (1, 90)


def test_a_dead_window_costs_the_score_and_is_named(real: Daily) -> None:
    r = normal(1000)
    r[500:750] = 0.0
    result = score_series(Daily("halted", "", r, np.zeros(1000)), real)
    assert result.conclusion == "degenerate"
    assert result.score.verdict == "path 2: constant price"
    assert result.score.ratio == np.inf
    assert result.as_json()["ratio"] is None
    assert all(row.defined == 3 and row.coverage <= 0.75 for row in result.moments)
    text = printed(result)
    assert "J/J95  inf  degenerate: path 2: constant price" in text
    assert "all numbers are of the 3 sound windows of 4" in text
    assert "leverage, r to later r²: defined" not in text
    json.dumps(result.as_json(), allow_nan=False)


def test_zero_volume_is_allowed_and_said(real: Daily) -> None:
    some = np.ones(90) + np.arange(90) % 3
    some[:10] = 0.0
    assert (
        "some: volume is zero on 10 of 90 days"
        in score_series(Daily("some", "", normal(90), some), real).notes
    )
    none = score_series(Daily("none", "", normal(90), np.zeros(90)), real)
    assert "none: no volume, or zero throughout" in none.notes
    assert none.facts[FACT_NAMES.index("volume_volatility")].defined == 0


def with_gap(days: int) -> np.ndarray:
    r = normal(days)
    r[days // 2] = np.nan
    return r


NO_MARKET = {
    "constant price": (np.zeros(600), np.ones(600)),
    "price hardly ever moves": (np.eye(600)[200] / 100, np.ones(600)),
    "non-finite return": (with_gap(600), np.ones(600)),
    "20 days, fewer than 30": (normal(20), np.ones(20)),
    "no trade on any day": (normal(600), np.zeros(600)),
    "0 days, fewer than 30": (normal(0), np.ones(0)),
}


@pytest.mark.parametrize("verdict", NO_MARKET)
def test_a_series_without_a_market_in_it_scores_infinity_and_is_named(
    verdict: str, real: Daily
) -> None:
    result = score_series(Daily("bad", "", *NO_MARKET[verdict], simulated=True), real)
    assert result.conclusion == "degenerate"
    assert result.score.verdict == verdict
    assert (result.score.j, result.score.ratio, result.score.p_value) == (np.inf, np.inf, 0.0)
    assert result.mcr == 0.0
    assert all(row.defined == 0 for row in result.moments + result.facts)
    assert all(not row.coverage > 0.0 for row in result.moments + result.facts)
    text = printed(result)
    assert f"J/J95  inf  degenerate: {verdict}" in text
    assert "nan" not in text
    data = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert (data["ratio"], data["verdict"]) == (None, verdict)
    assert figure_bytes(draw_score(result)).startswith(b"\x89PNG")


def test_volume_that_nobody_counted_is_no_fault_of_a_real_series(real: Daily) -> None:
    assert score_series(Daily("walk", "", normal(600), np.zeros(600)), real).score.verdict == "ok"


def test_the_number_tried_stands_beside_the_score(real: Daily) -> None:
    result = score_series(Daily("best", "", normal(90), np.ones(90)), real, tried=1280)
    assert "best of 1,280 tried" in printed(result)
    assert result.as_json()["tried"] == 1280


def test_what_cannot_be_scored_is_refused(tmp_path: Path, real: Daily) -> None:
    def refused(log_returns: np.ndarray, message: str, window_days: int | None = None) -> None:
        daily = Daily("bad", "", log_returns, np.zeros(len(log_returns)))
        with pytest.raises((ConfigError, FitnessError), match=message):
            score_series(daily, real, window_days)

    refused(normal(100), "100 daily returns, expected at least 250", 250)
    refused(normal(300), "--window-days 20: expected 30 or more", 20)
    refused(normal(6000), "two windows of 3000 days", 3000)
    gap = write_closes(tmp_path / "gap.csv", normal(300))
    lines = gap.read_text().splitlines()
    lines[100] = lines[100].partition(",")[0] + ","
    gap.write_text("\n".join(lines))
    with pytest.raises(MarketError, match=r"column close, row 100 \(2000-05-19\)"):
        read_daily(str(gap))
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(gap.read_text().replace("close", "last"))
    with pytest.raises(MarketError, match="missing column close; found date, last"):
        read_daily(str(renamed))


def test_the_screen_fits_80_columns_and_names_every_moment_and_fact(
    itself: SeriesScore, walk: SeriesScore
) -> None:
    for result in (itself, walk):
        text = printed(result)
        assert max(map(len, text.splitlines())) <= 80
        assert "nan" not in text
        assert "1999-01-04 to 2018-12-31" in text
        assert len([line for line in text.splitlines() if " se" in line]) >= 7 + 11
    assert "rejected" in printed(walk)
    assert "8 decay of ACF |r|, power: defined on" in printed(walk)


def test_the_command_prints_a_score_json_or_one_line_of_refusal(tmp_path: Path) -> None:
    write_closes(tmp_path / "walk.csv", normal(1000))
    years = ("--split", "1999-01-04:2010-12-31", "--window-days", "90")
    shown = evobourse("score", "walk.csv", *years, "--picture", "page.png", cwd=tmp_path)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "drawn    page.png" in shown.stdout
    assert "11 windows of 90 days" in shown.stdout
    again = shown.stdout.strip().splitlines()[-1].partition("evobourse ")[2].split()
    data = json.loads(evobourse(*again, cwd=tmp_path).stdout)
    assert f"J/J95  {data['ratio']:.2f}" in shown.stdout
    assert [row["name"] for row in data["moments"]] == list(measured(data["window_days"], False))
    assert [row["name"] for row in data["facts"]] == list(FACT_NAMES)
    assert data["conclusion"] in ("rejected", "undecided")
    refused = evobourse("score", "nothing.csv", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "nothing.csv: no such file" in refused.stderr
