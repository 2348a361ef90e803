import numpy as np
import pytest
from scipy.stats import ttest_1samp

from evobourse.experiments.reports.intervals import (
    bootstrap_interval,
    show,
    t_interval,
    write_interval,
)


def test_an_interval_over_seeds_is_students():
    values = np.random.default_rng(0).normal(3.0, 1.0, 9)
    low, high = ttest_1samp(values, 0.0).confidence_interval()
    assert t_interval(values) == pytest.approx((values.mean(), low, high))
    assert show(values, 4) == f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"


def test_seeds_without_a_number_are_left_out():
    assert t_interval(np.array([np.nan, 1.0, 2.0, 3.0])) == t_interval(np.array([1.0, 2.0, 3.0]))
    assert show([np.nan, 2.0]) == "2.00"
    assert show([np.nan]) == "-"


def test_a_mean_that_all_share_may_stand_alone():
    assert show([2.0, 2.0]) == "2.00"
    assert show([2.0, 2.0], alone=False) == "2.00 [2.00, 2.00]"
    assert show([-1e-9, -2e-9]) == "0.00 [0.00, 0.00]"  # and never as -0.00


def test_a_bootstrap_interval_holds_the_mean():
    values = np.random.default_rng(0).normal(1.0, 2.0, 400)
    mean, low, high = bootstrap_interval(values)
    assert mean == values.mean()
    reach = 1.96 * values.std() / 20
    assert [mean - low, high - mean] == pytest.approx([reach, reach], rel=0.1)
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0, 1.0)


def test_a_sign_is_written_on_the_mean_and_both_ends():
    assert write_interval((0.5, -0.25, 1.25), 1, "+") == "+0.5 [-0.2, +1.2]"
