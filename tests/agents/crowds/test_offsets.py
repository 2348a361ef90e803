import numpy as np
import pytest
from scipy.special import ndtri

from evobourse.agents.crowds.offsets import OffsetClusters, fit_offsets


def moments(clusters):
    weights, means, deviations = map(
        np.array, (clusters.weights, clusters.means, clusters.deviations)
    )
    mean = weights @ means
    return weights.sum(), mean, weights @ (means**2 + deviations**2) - mean**2


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_offsets_of_the_sp500_have_mean_zero_and_variance_one(count, sp500):
    clusters = fit_offsets(sp500.high, sp500.low, sp500.close, count)
    assert len(clusters.weights) == count
    np.testing.assert_allclose(moments(clusters), (1, 0, 1), atol=1e-9)
    assert list(clusters.means) == sorted(clusters.means)
    assert min(clusters.deviations) > 0


def test_highs_and_lows_are_told_apart(offsets):
    assert offsets.means[0] < -0.5
    assert offsets.means[-1] > 0.5


def test_fitting_knows_no_currency_and_no_seed(sp500, offsets):
    training = sp500.slice(0, 2000)
    again = fit_offsets(training.high, training.low, training.close)
    assert again == offsets
    scaled = fit_offsets(4 * training.high, 4 * training.low, 4 * training.close)
    for name in ("weights", "means", "deviations"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(offsets, name), atol=1e-9)


def test_draws_follow_the_clusters(offsets):
    points = (np.arange(400) + 0.5) / 400
    uniform, normal = (x.ravel() for x in np.meshgrid(points, ndtri(points)))
    drawn = offsets.draw(uniform, normal)
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert drawn.var() == pytest.approx(1, abs=0.02)


def test_a_uniform_number_chooses_the_cluster():
    clusters = OffsetClusters((0.25, 0.75), (-2.0, 1.0), (0.5, 0.1))
    uniform = np.array([0.0, 0.2499, 0.25, 0.999])
    assert clusters.draw(uniform, np.zeros(4)).tolist() == [-2, -2, 1, 1]
    np.testing.assert_allclose(clusters.draw(uniform, np.ones(4)), [-1.5, -1.5, 1.1, 1.1])
