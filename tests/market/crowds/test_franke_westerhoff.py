from dataclasses import replace

import numpy as np
import pytest

from evobourse.experiments.studies.market_checks.impact import play_market
from evobourse.fitness.baselines.franke_westerhoff import franke_westerhoff
from evobourse.market.book.auction import clear_call_auction
from evobourse.market.crowds.franke_westerhoff import (
    PUBLISHED,
    FrankeWesterhoff,
    FrankeWesterhoffCrowd,
)
from evobourse.market.errors import MarketError


def direct(seed, days, parameters=PUBLISHED):
    [returns] = franke_westerhoff(parameters, 1, days, np.random.default_rng(seed), burn_in_days=0)
    return returns


@pytest.mark.parametrize("seed", range(3))
def test_market_orders_at_impact_are_the_papers_returns_day_by_day(seed):
    """One agent stands for all of a camp: only ticks and lots tell the two markets apart."""
    played = play_market("impact", 2_000, 200, seed, lots=1_000, systematic=True)
    error = played - direct(seed, 200)
    assert np.abs(error).max() < 3e-4
    assert error.std() < 0.01 * played.std()


def test_other_parameters_are_followed_too():
    wild = FrankeWesterhoff(0.9, 2.2, -0.2, 1.1, 30.0, 0.6, 3.0, 0.02, 0.7)
    played = play_market("impact", 2_000, 120, 4, lots=1_000, systematic=True, parameters=wild)
    np.testing.assert_allclose(played, direct(4, 120, wild), atol=6e-4)


def test_the_finite_agents_error_falls_with_their_number():
    error = [
        np.mean([np.std(play_market("impact", n, 120, s) - direct(s, 120)) for s in range(2)])
        for n in (10, 160, 2_560)
    ]
    assert error[0] > 2 * error[1] > 4 * error[2]


def test_whole_demand_schedules_clear_a_call_at_the_papers_price():
    """Each agent asks for demand - (ln x - ln p) / mu at every price x, in steps of a tick."""
    rng = np.random.default_rng(0)
    reach, agents = 600, 41
    own = np.rint(rng.normal(25, 150, agents)).astype(int)  # reservation prices less ln p, in ticks
    ladder = np.arange(-reach, reach + 1)
    prices = np.tile(ladder, agents)
    side = np.where(prices < np.repeat(own, len(ladder)), 1, -1).astype(np.int8)
    step = np.where(prices == np.repeat(own, len(ladder)), 0, 1)
    price, _ = clear_call_auction(side, 1000 + prices, step, np.arange(len(prices)), 1000)
    assert price - 1000 == pytest.approx(own.mean(), abs=1)


def test_a_call_gets_limits_at_reservation_prices(open_exchange):
    crowd = FrankeWesterhoffCrowd(PUBLISHED, 200, 90_000, np.random.default_rng(1), dispersion=1.0)
    exchange = open_exchange([crowd], ("call", "continuous"), (100_000,), kind="future")
    given = []
    ask = crowd.orders
    crowd.orders = lambda: given.append(ask()) or given[-1]
    exchange.play_day()
    first, second = given
    assert len(second) == 0
    demand = np.rint(100 * np.log(first.price_ticks / 100_000) / PUBLISHED.mu).astype(int)
    np.testing.assert_allclose(demand, first.side * first.quantity, atol=1)
    assert {-1, 1} == set(first.side.tolist())


def test_systematic_choice_gives_each_agent_the_same_odds():
    crowd = FrankeWesterhoffCrowd(PUBLISHED, 7, 1000, np.random.default_rng(1), systematic=True)
    crowd._odds = 0.37
    camps = np.array([crowd._draw_camps() for _ in range(20_000)])
    assert np.abs(camps.mean(axis=0) - 0.37).max() < 0.02
    assert set(camps.sum(axis=1)) == {2, 3}


@pytest.mark.parametrize(
    ("name", "value"), [("n_agents", 0), ("value_ticks", np.nan), ("lots", 0), ("dispersion", -1.0)]
)
def test_impossible_crowds_are_named(name, value):
    given = {"n_agents": 3, "value_ticks": 100, "lots": 1, "dispersion": 0.0} | {name: value}
    with pytest.raises(MarketError, match=f"{name} is {value}"):
        FrankeWesterhoffCrowd(PUBLISHED, rng=np.random.default_rng(0), **given)


def test_impact_clears_by_the_crowds_own_parameters():
    crowd = FrankeWesterhoffCrowd(replace(PUBLISHED, mu=0.02), 50, 1, np.random.default_rng(0), 10)
    assert crowd.impact_per_lot == pytest.approx(0.02 / 500)
