"""The table of laws without agents: what it must say of the real days and of a random walk."""

import json
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from evobourse.experiments.cli.main import app
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.scoring import baselines as baseline_table
from evobourse.experiments.scoring.baselines import POOLED, Budget, baseline_rows, render
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.laws import LAW_NAMES, reference_laws
from evobourse.fitness.baselines.without_agents import gbm
from evobourse.fitness.comparisons import holm
from evobourse.market.series.named import load_series

BUDGET = Budget(window_days=250, paths=4, groups=6)


@pytest.fixture(scope="module")
def assets():
    return [load_series(name) for name in ("sp500", "nasdaq")]


@pytest.fixture(scope="module")
def rows(assets):
    tiny = partial(calibrate_franke_westerhoff, generations=1, population=4, paths=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline_table, "calibrate_franke_westerhoff", tiny)
        return baseline_rows(assets, BUDGET, 0, lambda: None)


def test_every_law_has_a_row_on_both_halves_of_every_asset_and_pooled(rows):
    keys = [(row.split, row.asset, row.law) for row in rows]
    assert keys == [
        (split, asset, law)
        for split in ("train", "heldout")
        for asset in ("sp500", "nasdaq", POOLED)
        for law in LAW_NAMES
    ]


def test_the_real_days_pass_and_a_random_walk_does_not(rows):
    ceiling = {(r.split, r.asset): r.ratio for r in rows if r.law == "bootstrap_target"}
    for row in rows:
        if row.law == "bootstrap_target":
            assert row.ratio < 0.5
            assert row.p_holm > 0.05
        if row.law == "gbm":
            assert row.ratio > 2 * ceiling[row.split, row.asset]
            assert row.p_holm < 0.05


def test_p_values_are_corrected_within_a_table(rows):
    each = len(LAW_NAMES)
    for table in (rows[n * each : (n + 1) * each] for n in range(6)):
        expected = holm([row.p_value for row in table])
        assert [row.p_holm for row in table] == pytest.approx(list(expected))


def test_a_pooled_ratio_is_the_geometric_mean(rows):
    by_key = {(row.split, row.asset, row.law): row for row in rows}
    for law in LAW_NAMES:
        first, second, pooled = (by_key["train", name, law] for name in ("sp500", "nasdaq", POOLED))
        assert pooled.ratio == pytest.approx(np.sqrt(first.ratio * second.ratio))
        assert pooled.p_value == pytest.approx(min(1, first.p_value + second.p_value))


def test_the_page_holds_every_row_and_its_command_and_json_has_no_nan(rows):
    page = render(rows, ["sp500, 1999 to 2018"], BUDGET, "evobourse baselines")
    assert "`evobourse baselines`" in page
    tables = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(tables) == len(rows) + 6
    assert all(name in page for name in LAW_NAMES.values())
    assert page.count("right about it everywhere") == 2
    json.dumps([row.as_json() for row in rows], allow_nan=False)


def test_too_long_a_window_is_refused(assets):
    with pytest.raises(ConfigError, match="sp500: 2465 days on each side of the embargo"):
        baseline_rows(assets, Budget(1300), 0, lambda: None)


def test_the_laws_are_fitted_on_training_days_and_only_the_ceiling_sees_the_target(assets):
    train, target = (asset.log_returns[:1000] for asset in assets)
    laws = reference_laws(train, target, lambda student: None)
    first, second = (np.random.default_rng(1) for _ in range(2))
    np.testing.assert_array_equal(laws["gbm"](2, 50, first), gbm(train, 2, 50, second))
    known = set(target.tolist())
    assert set(laws["bootstrap_target"](2, 50, first).ravel().tolist()) <= known
    assert not set(laws["bootstrap_train"](2, 50, first).ravel().tolist()) & known


def test_the_command_writes_the_page_and_prints_the_rows_in_80_columns(tmp_path, monkeypatch):
    tiny = partial(calibrate_franke_westerhoff, generations=1, population=4, paths=8)
    monkeypatch.setattr(baseline_table, "calibrate_franke_westerhoff", tiny)
    monkeypatch.setenv("COLUMNS", "80")
    size = ["--window-days", "100", "--groups", "2", "--seed", "3"]
    page = tmp_path / "page.md"
    shown = CliRunner().invoke(app, ["baselines", "sp500", *size, "--out", str(page)])
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.output.split("page  ")[0].splitlines())) <= 80
    assert all(name in shown.output for name in LAW_NAMES.values())
    assert "evobourse baselines sp500 --window-days 100 --paths 4 --groups 2 --seed 3" in (
        page.read_text()
    )
    data = CliRunner().invoke(app, ["baselines", "sp500", *size, "--out", str(page), "--json"])
    assert len(json.loads(data.stdout)) == 2 * len(LAW_NAMES)
