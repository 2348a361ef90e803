import numpy as np
import pytest
from statsmodels.tsa.stattools import acf

from evobourse.experiments.studies.coverage import LAGS, NINE, nine_moments
from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    franke_westerhoff,
)


def test_the_papers_nine_moments_equal_an_independent_computation():
    [returns] = franke_westerhoff(PUBLISHED, 1, 3000, np.random.default_rng(2))
    percent = 100.0 * returns
    found = dict(zip(NINE, nine_moments(returns), strict=True))
    assert found["ac1"] == pytest.approx(acf(percent, nlags=1)[1])
    assert found["mean |r|"] == pytest.approx(np.abs(percent).mean())
    memory = acf(np.abs(percent), nlags=101)
    assert found["acf |r| 1"] == pytest.approx(memory[1])
    for lag in LAGS[1:]:
        assert found[f"acf |r| {lag}"] == pytest.approx(memory[lag - 1 : lag + 2].mean())
