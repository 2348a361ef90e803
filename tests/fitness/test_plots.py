import matplotlib.pyplot as plt
import numpy as np
import pytest

from evobourse.fitness.baselines.without_agents import gbm
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.fact_table import FACT_NAMES, compare_facts
from evobourse.fitness.moments import acf_abs, moments, standardise
from evobourse.fitness.plots import (
    BEYOND,
    plot_acf_abs,
    plot_fact_rows,
    plot_moments,
    plot_price_paths,
    plot_return_tails,
)


@pytest.fixture
def real(train_returns):
    return train_returns[:3000].reshape(12, 250)


@pytest.fixture
def simulated(train_returns, rng):
    paths = gbm(train_returns, 20, 250, rng)
    paths[3] = 0.0
    return paths


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_price_paths_start_at_100_whatever_their_level(real, simulated):
    ax = plot_price_paths(7.0 + real.cumsum(axis=1), simulated.cumsum(axis=1))
    drawn = [line for line in ax.lines if len(line.get_ydata())]
    assert len(drawn) == 12 + 8
    assert all(line.get_ydata()[0] == pytest.approx(100.0) for line in drawn)


def test_memory_and_tails_leave_degenerate_paths_out(real, simulated):
    ax = plot_acf_abs(acf_abs(real, 30), acf_abs(simulated, 30))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.nanmean(acf_abs(simulated, 30), axis=0))
    ax = plot_return_tails(standardise(real), standardise(simulated))
    shares = ax.lines[0].get_ydata()
    assert len(shares) == 19 * 250
    assert shares[-1] == 1.0


def test_moments_are_in_real_sd_and_a_far_one_stands_at_the_edge(target, real, simulated):
    calm = moments(0.01 * real, target.sigma_real)
    dead = np.full((4, 10), np.nan)
    ax = plot_moments(target, {"calm": calm, "dead": dead, "real": np.atleast_2d(target.m_star)})
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["calm"].get_xdata()[5] < -6
    np.testing.assert_allclose(lines["real"].get_xdata(), 0.0, atol=1e-12)
    assert any(line.get_marker() == "<" and len(line.get_xdata()) == 1 for line in ax.lines)
    assert "dead: no sound path" in lines


def test_facts_stand_beside_the_band_of_the_real_windows(real, simulated, rng):
    rows = compare_facts(simulated, real, rng)
    ax = plot_fact_rows(rows, {name: name for name in FACT_NAMES})
    assert [label.get_text() for label in ax.get_yticklabels()] == list(FACT_NAMES)
    dots = {
        round(float(line.get_ydata()[0])): line
        for line in ax.lines
        if line.get_marker() in "o<>" and len(line.get_ydata()) == 1
    }
    for y, row in enumerate(rows):
        if not row.high > row.low or not row.defined:
            assert y not in dots, row.name
            continue
        place = (row.simulated - row.low) / (row.high - row.low)
        assert dots[y].get_xdata()[0] == pytest.approx(np.clip(place, -BEYOND, 1 + BEYOND))
        assert (dots[y].get_marker() == "o") == (-BEYOND <= place <= 1 + BEYOND)
    texts = [text.get_text() for text in ax.texts]
    assert f"{rows[1].simulated:.2f}" in texts
    assert "not defined" in texts


def test_a_given_axes_is_drawn_on_and_saved_without_a_warning(target, real, simulated, tmp_path):
    figure, axes = plt.subplots(2, 2, layout="constrained")
    assert plot_price_paths(real, simulated, axes[0, 0]) is axes[0, 0]
    plot_acf_abs(acf_abs(real, 30), acf_abs(simulated, 30), axes[0, 1])
    plot_return_tails(standardise(real), standardise(simulated), axes[1, 0])
    plot_moments(target, {"gbm": moments(simulated, target.sigma_real)}, axes[1, 1])
    figure.savefig(tmp_path / "report.png")
    assert all(ax.get_xlabel() for ax in axes.flat)


def test_nothing_to_draw_is_said(real):
    with pytest.raises(FitnessError, match="nothing to draw"):
        plot_acf_abs(acf_abs(real, 5), np.full((3, 5), np.nan))
