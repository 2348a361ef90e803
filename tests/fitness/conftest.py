import matplotlib
import numpy as np
import pytest
from arch.data import sp500

from evobourse.fitness.distance import Target, make_target

matplotlib.use("Agg")


@pytest.fixture(scope="session")
def train_returns():
    close = sp500.load()["Close"]
    return np.log(close["1999-01-04":"2010-12-31"]).diff().dropna().to_numpy()


@pytest.fixture(scope="session")
def target(train_returns) -> Target:
    return make_target(train_returns, window_days=250, paths=4, rng=np.random.default_rng(0))


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)
