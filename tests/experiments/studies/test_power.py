"""The power table: shares that are known beforehand, and a page that says where they come from."""

import numpy as np
import pytest

from evobourse.experiments.studies.power import (
    HELD_OUT,
    LAWS,
    PATHS,
    QUARTERS,
    WINDOW_DAYS,
    Cell,
    _held_out_cells,
    _law_cells,
    given_pasts_section,
    render,
)
from evobourse.market.series.named import load_series


@pytest.fixture(scope="module")
def real():
    return load_series("sp500").log_returns


def test_real_days_are_rejected_as_promised_and_a_random_walk_by_length(real):
    [redrawn, _] = _law_cells(real, "bootstrap_target", 125, 600)
    assert (redrawn.scores, redrawn.paths, redrawn.days) == (600, 1, 125)
    assert redrawn.by_j == pytest.approx(0.05, abs=0.03)
    [single, ten] = _law_cells(real, "gbm", 125, 300)
    assert ten.scores == 30
    assert ten.by_j > 0.95 > 0.3 > single.by_j


def test_held_out_windows_never_touch_their_target(monkeypatch):
    """Days numbered by their place: the target's windows lie an embargo away from the scored."""
    from evobourse.experiments.studies import power as benchmarks_power

    seen = []

    def target_of_windows(windows, names, sigma, days, n, known_days, rng, split):
        seen.append(windows[:, 0])
        return None

    days = np.arange(1000.0)
    monkeypatch.setattr(benchmarks_power, "moments", lambda windows, sigma: windows[:, [0, -1]])
    monkeypatch.setattr(benchmarks_power, "target_of_windows", target_of_windows)
    monkeypatch.setattr(benchmarks_power, "score_paths", lambda paths, target: paths)
    assert _held_out_cells(days, 125) == []
    places = [place for n in PATHS for place in range(0, 1001 - 125 * n, 21)]
    for first, starts in zip(places, seen, strict=True):
        apart = np.maximum(first - (starts + 124) - 1, starts - (first + 125))
        assert apart.min() >= 100


def test_held_out_cells_count_what_fits(real):
    cells = {cell.paths: cell for cell in _held_out_cells(real[:3000], 250)}
    assert set(cells) == {1}  # ten windows of 250 days leave no two to make a target of
    assert cells[1].scores == len(range(0, 2751, 21))


def test_the_page_names_the_least_days_of_each_law_and_none_of_the_nulls():
    cells = [
        Cell(law, days, n, 100, 0.9 if days * n >= 1000 and law == "gbm" else 0.5, float("nan"))
        for law in LAWS
        for days in WINDOW_DAYS
        for n in PATHS
    ]
    cells.append(Cell(HELD_OUT, 125, 1, 40, 0.9, 0.0))
    page = render(cells, "sp500, 1999 to 2018", "python -m x --paths 100").splitlines()
    [walk, *_] = [line for line in page if line.startswith("| geometric")]
    [garch, *_] = [line for line in page if line.startswith("| GARCH-t")]
    [held_out, *_] = [line for line in page if line.startswith(f"| {HELD_OUT}")]
    assert walk.endswith("| 1 x 1000 |")
    assert garch.endswith("| more |")
    assert held_out.endswith("|  |")
    assert "100 times at each length" in "\n".join(page)


def test_the_page_says_what_the_energy_score_tells_given_the_past():
    told = {"a random walk": np.array([0.1, 0.25, 1.0]), "the law itself": np.full(3, 0.05)}
    lines = list(given_pasts_section(told, 40))
    assert "| a random walk | 10% | 25% | 100% |" in lines
    assert f"| held against it | {' | '.join(f'{n} quarters' for n in QUARTERS)} |" in lines
    assert " 40 times" in lines[2]
