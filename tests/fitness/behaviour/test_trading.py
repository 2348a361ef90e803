import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evobourse.fitness.behaviour.trading import (
    annual_turnover,
    count_gains,
    disposition_effect,
    group_returns,
    sortino_ratio,
)
from evobourse.fitness.errors import FitnessError


def random_trading(rng, days=60, investors=6, assets=3):
    holdings = rng.integers(0, 5, (days + 1, investors, assets))
    return holdings, rng.uniform(5, 20, (days, assets)), rng.uniform(5, 20, assets)


def counted_one_by_one(holdings, prices, first_prices, every_day):
    """Odean's table in plain loops over one position at a time, the oracle."""
    days, investors, assets = len(prices), holdings.shape[1], holdings.shape[2]
    table = np.zeros((days, investors, 4), int)
    for i in range(investors):
        lots = {k: (int(holdings[0, i, k]), float(first_prices[k])) for k in range(assets)}
        for t in range(days):
            sells = any(holdings[t + 1, i, k] < holdings[t, i, k] for k in range(assets))
            for k in range(assets):
                quantity, cost = lots[k]
                new = int(holdings[t + 1, i, k])
                if quantity > 0 and (sells or every_day) and prices[t, k] != cost:
                    kind = (0 if prices[t, k] > cost else 2) + (0 if new < quantity else 1)
                    table[t, i, kind] += 1
                if new > quantity:
                    cost = (quantity * cost + (new - quantity) * prices[t, k]) / new
                lots[k] = (new, cost)
    return table


@pytest.mark.parametrize("every_day", [False, True])
def test_gains_are_counted_as_one_position_at_a_time(every_day, rng):
    trading = random_trading(rng)
    counts = count_gains(*trading, every_day=every_day)
    np.testing.assert_array_equal(counts, counted_one_by_one(*trading, every_day))
    assert counts.sum() > 500


def test_who_sells_every_winner_and_no_loser_has_the_full_effect():
    # three assets bought at 10; one rises and is sold at once, the others fall and are kept
    prices = np.array([[12.0, 9.0, 8.0], [13.0, 7.0, 6.0]])
    holdings = np.array([[[1, 1, 1]], [[0, 1, 1]], [[0, 1, 1]]])
    found = disposition_effect(count_gains(holdings, prices, np.full(3, 10.0)).sum(axis=0))
    assert (found.pgr[0], found.plr[0], found.effect[0]) == (1.0, 0.0, 1.0)
    opposite = disposition_effect(count_gains(holdings, 20 - prices, np.full(3, 10.0)).sum(axis=0))
    assert opposite.effect[0] == -1.0


def test_effect_and_standard_error_are_those_of_odeans_table():
    # Odean (1998), table I, entire year: PGR .148, PLR .098, from these counts (in accounts)
    found = disposition_effect([13_883, 79_658, 11_930, 110_348])
    assert found.pgr == pytest.approx(0.148, abs=5e-4)
    assert found.plr == pytest.approx(0.098, abs=5e-4)
    assert found.effect == pytest.approx(0.050, abs=1e-3)
    assert found.effect / found.standard_error == pytest.approx(35, abs=1)


def test_random_sellers_have_no_disposition(rng):
    days, investors = 400, 300
    prices = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal((days, 1)), axis=0))
    holdings = rng.integers(1, 20, (days + 1, investors, 1))
    counts = count_gains(holdings, prices, np.array([100.0]), every_day=True)
    found = disposition_effect(counts.sum(axis=(0, 1)))
    assert abs(found.effect) < 4 * found.standard_error
    with pytest.raises(FitnessError, match="one asset"):
        count_gains(holdings, prices, np.array([100.0]))


def test_nothing_to_realise_is_no_number():
    found = disposition_effect([0, 0, 1, 3])
    assert np.isnan(found.pgr)
    assert found.plr == 0.25
    assert np.isnan(found.effect)


@given(arrays(np.int64, (3, 4), elements=st.integers(0, 1000)))
def test_disposition_stays_in_its_bounds(counts):
    found = disposition_effect(counts)
    known = np.isfinite(found.effect)
    assert (np.abs(found.effect[known]) <= 1).all()
    assert (found.standard_error[known] >= 0).all()


def test_turnover_of_one_sale_and_one_purchase_of_everything_a_year_is_one():
    held = np.full((250, 2), 1000.0)
    traded = np.zeros((250, 2))
    traded[[30, 40], 0] = 1000.0
    np.testing.assert_allclose(annual_turnover(traded, held), [1.0, 0.0])
    assert np.isnan(annual_turnover(traded, np.zeros((250, 2)))).all()


def test_group_returns_add_up_to_the_return_of_all(rng):
    gain, wealth = rng.standard_normal((50, 30)), rng.uniform(1, 9, (50, 30))
    group = rng.integers(0, 4, (50, 30))
    returns = group_returns(gain, wealth, group, 5)
    assert (returns[:, 4] == 0).all()
    money = np.stack([(wealth * (group == g)).sum(axis=1) for g in range(5)], axis=1)
    np.testing.assert_allclose((returns * money).sum(axis=1), gain.sum(axis=1))
    day, label = 7, 2
    members = group[day] == label
    assert returns[day, label] == pytest.approx(
        gain[day, members].sum() / wealth[day, members].sum()
    )
    with pytest.raises(FitnessError, match="expected 0 to 2"):
        group_returns(gain, wealth, group, 3)


def test_sortino_ratio_of_a_known_sample():
    returns = np.array([0.02, -0.01, 0.03, -0.02])
    downside = np.sqrt((0.01**2 + 0.02**2) / 4)
    assert sortino_ratio(returns) == pytest.approx(np.sqrt(250) * 0.005 / downside)
    assert sortino_ratio(returns, target=0.005) == pytest.approx(0.0, abs=1e-12)
    assert sortino_ratio(np.full(5, 0.01)) == np.inf
    assert np.isnan(sortino_ratio(np.zeros(5)))


def test_sortino_ratio_of_normal_returns_is_the_closed_form(rng):
    # E min(r, 0)^2 of N(mu, 1) is (mu^2 + 1) Phi(-mu) - mu phi(mu)
    from scipy.stats import norm

    mu = 0.2
    below = (mu**2 + 1) * norm.cdf(-mu) - mu * norm.pdf(mu)
    found = sortino_ratio(mu + rng.standard_normal(200_000), periods=1)
    assert found == pytest.approx(mu / np.sqrt(below), rel=0.03)


@pytest.mark.parametrize(
    ("holdings", "prices", "first", "message"),
    [
        (np.ones((3, 2)), np.ones((2, 2)), np.ones(2), r"\(3, 2\)"),
        (np.ones((3, 2, 4)), np.ones((3, 4)), np.ones(4), r"\(3, 4\)"),
        (np.ones((3, 2, 4)), np.ones((2, 4)), np.ones(3), r"\(3,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(holdings, prices, first, message):
    with pytest.raises(FitnessError, match=message):
        count_gains(holdings, prices, first)
