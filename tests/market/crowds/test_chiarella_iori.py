from dataclasses import replace

import numpy as np
import pytest

from evobourse.market.crowds.chartist import trend_return
from evobourse.market.crowds.chiarella_iori import Forecasters, ForecastRule, mixture
from evobourse.market.crowds.fundamentalist import value_return
from evobourse.market.errors import MarketError

RULE = ForecastRule(activity=1.0, most_margin=0.0, reversion_days=10.0, longest_trend_days=3)


def test_a_fundamentalist_expects_the_gap_to_close():
    assert value_return(100.0, 110.0, 5.0) == pytest.approx(np.log(1.1) / 5)


def test_a_chartist_expects_the_mean_of_his_own_days():
    closes = np.array([100, 110, 99, 105])
    returns = np.diff(np.log(closes))
    found = trend_return(105, closes, np.array([1, 2, 3, 9]))
    np.testing.assert_allclose(
        found, [returns[-k:].sum() / k for k in (1, 2, 3)] + [returns.sum() / 9]
    )


@pytest.mark.parametrize(
    ("weights", "value", "expected"),
    [
        ((1.0, 0.0, 0.0), 1200.0, 1000 * 1.2**0.1),
        ((1.0, 0.0, 0.0), 900.0, 1000 * 0.9**0.1),
        ((0.0, 2.0, 0.0), 900.0, None),
    ],
)
def test_one_forecast_is_one_limit_price(weights, value, expected, open_exchange, watch):
    crowd = Forecasters(np.tile(weights, (4, 1)), value, RULE, np.random.default_rng(0))
    watched = watch(open_exchange([crowd], ("call",), (1000, 1000, 990, 1000)), 1)
    prices = watched.column("price_ticks")[watched.column("kind") == 0]
    if expected is None:  # trends of one, two and three days that end at 1,000
        possible = {
            round(1000 * (1000 / p) ** (1 / k)) for k, p in ((1, 990), (2, 1000), (3, 1000))
        }
        assert set(prices) <= possible
        assert len(prices) == (crowd._trend_days == 1).sum()  # no trend, no order
    else:
        assert set(prices) == {round(expected)}
        assert set(watched.column("side")[:-1][1:-1]) == {1 if value > 1000 else -1}


def test_fundamentalists_bring_the_price_home_and_chartists_carry_it_on(open_exchange, watch):
    rng = np.random.default_rng(5)
    gaps = {}
    for name, weights in (("value", (1.0, 0.0, 0.3)), ("trend", (0.0, 1.0, 0.3))):
        rule = ForecastRule(longest_trend_days=5)
        crowd = Forecasters(np.tile(weights, (200, 1)), 1200.0, rule, rng)
        history = np.rint(1000 * 1.004 ** np.arange(-10, 1)).astype(int)
        closes = watch(open_exchange([crowd], history=history), 60).closes
        gaps[name] = abs(np.log(np.mean(closes[-20:]) / 1200))
    assert gaps["value"] < 0.05 < gaps["trend"]


def test_a_mixture_trades_at_impact_too(open_exchange, watch):
    rng = np.random.default_rng(5)
    crowd = Forecasters(mixture(50, (1.0, 1.0, 1.0), rng), 1000.0, ForecastRule(), rng)
    watched = watch(open_exchange([crowd], ("impact", "continuous"), short_sales="allowed"), 20)
    assert min(watched.volume) > 0


def test_mixtures_weigh_as_asked():
    weights = mixture(20_000, (2.0, 0.0, 1.0), np.random.default_rng(0))
    np.testing.assert_allclose(weights.mean(axis=0), [2.0, 0.0, 1.0], rtol=0.05)
    assert (weights >= 0).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 2)), "expected shape \\(agents, 3\\)"),
        (np.array([[1.0, -1.0, 0.0]]), "0 or more"),
        (np.array([[1.0, 0, 0], [0, 0, 0]]), "weights\\[1\\] are all 0"),
    ],
)
def test_impossible_weights_are_refused(weights, message):
    with pytest.raises(MarketError, match=message):
        Forecasters(weights, 100.0, RULE, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "value"), [("reversion_days", 0.0), ("most_margin", 2.0), ("lots", 0), ("noise", -1.0)]
)
def test_impossible_rules_are_named(name, value):
    with pytest.raises(MarketError, match=f"{name} is {value}"):
        replace(RULE, **{name: value})
