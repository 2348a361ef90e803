import numpy as np
import pytest
from arch.data import sp500
from scipy.signal import lfilter

from evobourse.fitness.baselines.without_agents import block_bootstrap, gbm
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.predictive import LAG_DAYS, cut_windows, predictive_score


def ar1(rng, paths, days, phi):
    noise = 0.01 * rng.standard_normal((paths, days + 100))
    return lfilter([1.0], [1.0, -phi], noise, axis=1)[:, 100:]


@pytest.fixture(scope="module")
def real():
    """S&P 500 to learn from and to be tested on, as in the quickstart."""
    close = sp500.load()["Close"]
    days = {"train": ("1999-01-04", "2006-12-29"), "test": ("2010-12-01", "2018-12-31")}
    return {k: np.diff(np.log(close[a:b].to_numpy())) for k, (a, b) in days.items()}


def test_windows_are_cut_along_time_and_within_a_path(rng):
    paths = rng.standard_normal((3, 40))
    for quantity in ("return", "magnitude"):
        known, following = cut_windows(paths, quantity)
        row = 0
        for path in paths:
            for day in range(LAG_DAYS, 40):
                np.testing.assert_array_equal(known[row, :LAG_DAYS], path[day - LAG_DAYS : day])
                np.testing.assert_array_equal(known[row, LAG_DAYS:], abs(known[row, :LAG_DAYS]))
                assert following[row] == (path[day] if quantity == "return" else abs(path[day]))
                row += 1
        assert row == len(known) == len(following)


def test_the_error_on_an_autoregression_is_that_of_its_shocks(rng):
    phi = 0.8
    simulated, train, test = ar1(rng, 20, 500, phi), ar1(rng, 1, 4000, phi), ar1(rng, 1, 8000, phi)
    found = predictive_score(simulated, train[0], test[0], "return")
    shock = 0.01 * np.sqrt(2 / np.pi) / train.std()  # mean |N(0, .01)| in the score's unit
    assert found.simulated == pytest.approx(shock, rel=0.03)
    assert found.real == pytest.approx(shock, rel=0.03)
    assert found.constant == pytest.approx(shock / np.sqrt(1 - phi**2), rel=0.05)
    assert found.ratio == pytest.approx(1, abs=0.01)
    other = predictive_score(ar1(rng, 20, 500, -phi), train[0], test[0], "return")
    assert other.simulated > 1.5 * found.constant  # taught the opposite of what is true


def test_noise_cannot_be_forecast_unless_something_leaks(rng):
    simulated, train, test = (0.01 * rng.standard_normal(s) for s in ((20, 500), 4000, 4000))
    for quantity in ("return", "magnitude"):
        found = predictive_score(simulated, train, test, quantity)
        assert found.simulated > 0.995 * found.constant
        assert found.real > 0.995 * found.constant
    # the control: one window too late, and the day to forecast is among the known ones
    known, following = cut_windows(test[None], "return")
    weights = np.linalg.lstsq(known[1:], following[:-1], rcond=None)[0]
    assert np.abs(known[1:] @ weights - following[:-1]).max() < 1e-12


def test_no_forecast_knows_the_future(rng, real):
    simulated = gbm(real["train"], 5, 250, rng)
    before = predictive_score(simulated, real["train"], real["test"])
    changed = real["test"].copy()
    changed[1000:] = rng.permutation(changed[1000:])
    after = predictive_score(simulated, real["train"], changed)
    for name in ("errors_simulated", "errors_real", "errors_constant"):
        first, second = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(first[: 1000 - LAG_DAYS], second[: 1000 - LAG_DAYS])
        assert (first[1000 - LAG_DAYS :] != second[1000 - LAG_DAYS :]).any()
    assert before.errors_real.shape == (len(real["test"]) - LAG_DAYS,)


def test_a_planted_leak_is_refused(rng, real):
    simulated = gbm(real["train"], 5, 250, rng)
    planted = simulated.copy()
    planted[3, 100 : 101 + LAG_DAYS] = real["test"][700 : 701 + LAG_DAYS]
    with pytest.raises(FitnessError, match="simulated path 3: the 21 days from day 100 are among"):
        predictive_score(planted, real["train"], real["test"])
    planted[3, 100] = simulated[3, 100]  # one day fewer is no window
    predictive_score(planted, real["train"], real["test"])
    overlapping = np.concatenate([real["train"], real["test"][: 1 + LAG_DAYS]])
    with pytest.raises(FitnessError, match="training path 0"):
        predictive_score(simulated, overlapping, real["test"])


def test_days_with_the_real_memory_teach_more_than_days_without(rng, real):
    blocks = predictive_score(block_bootstrap(real["train"], 30, 250, rng), *real.values())
    walk = predictive_score(gbm(real["train"], 30, 250, rng), *real.values())
    assert blocks.real == walk.real < blocks.constant
    assert blocks.ratio == pytest.approx(1, abs=0.03)
    assert walk.ratio > 1.05
    loud = predictive_score(3 * gbm(real["train"], 30, 250, rng), *real.values())
    assert loud.ratio > 2  # the wrong volatility is the wrong scale


@pytest.mark.parametrize(
    ("simulated", "train", "test", "message"),
    [
        (np.zeros((2, 100)), 0, 0, "simulated path 0: constant price"),
        (np.zeros((2, 2, 100)), 0, 0, r"\(2, 2, 100\)"),
        (0, np.full(500, np.nan), 0, "training path 0: non-finite"),
        (0, 0, np.random.default_rng(0).standard_normal(100), "100 test days"),
    ],
)
def test_what_cannot_teach_is_refused(simulated, train, test, message):
    rng = np.random.default_rng(1)
    arguments = [
        x if np.ndim(x) else 0.01 * rng.standard_normal(500) for x in (simulated, train, test)
    ]
    with pytest.raises(FitnessError, match=message):
        predictive_score(*arguments)
