"""Ensembles and their scores: closed forms, a market's own days, who is called better."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.forecast.ensemble import (
    Losses,
    compare_losses,
    losses_of_ensemble,
    losses_of_normal,
    market_ensemble,
    past_spread,
    rescale,
)
from evobourse.experiments.studies.forecast.study import Settings, forecast_series
from evobourse.fitness.forecasts import NAIVE


def test_the_crps_of_a_normal_is_the_integral_that_defines_it():
    mean, spread, actual = 0.2, 1.5, -0.7
    below, _ = quad(lambda x: norm.cdf(x, mean, spread) ** 2, -np.inf, actual)
    above, _ = quad(lambda x: norm.sf(x, mean, spread) ** 2, actual, np.inf)
    found = losses_of_normal(np.full((1, 3), mean), np.array([spread]), np.full((1, 3), actual))
    assert found.crps[0] == pytest.approx(below + above, rel=1e-6)
    assert found.squared[0] == pytest.approx(0.81)


def test_an_ensemble_scores_as_what_it_was_drawn_from_whatever_its_size():
    rng = np.random.default_rng(1)
    actual = rng.normal(size=(4000, 3))
    whole = losses_of_normal(np.zeros((4000, 3)), np.ones(4000), actual).crps.mean()
    for members in (2, 10):
        drawn = rng.normal(size=(4000, members, 3))
        assert losses_of_ensemble(drawn, actual).crps.mean() == pytest.approx(whole, rel=0.03)
    pair = np.array([[[0.0] * 3, [1.0] * 3]])
    found = losses_of_ensemble(pair, np.full((1, 3), 0.25))
    assert found.crps[0] == pytest.approx((0.25 + 0.75) / 2 - 1 / 2)


def test_a_rescaled_ensemble_has_the_mean_and_the_spread_that_it_is_given():
    drawn = np.random.default_rng(2).normal(0.1, 3.0, (5, 40, 3))
    spread = np.full(5, 0.02)
    found = rescale(drawn, spread)
    np.testing.assert_allclose(found.mean(axis=1), drawn.mean(axis=1))
    around = found - found.mean(axis=1, keepdims=True)
    assert np.sqrt((around**2).mean()) == pytest.approx(0.02)


def test_a_member_is_a_market_that_begins_with_the_real_prices(opened, sp500):
    bundle, choices = opened.bundle, opened.table()
    origins = np.array([1200, 1300])
    found = market_ensemble(bundle, choices, sp500, origins, 40, 3)
    world = World(bundle.offsets, bundle.rules, 40, 3)
    past = history_ticks(sp500.close[:1301])
    tape = play_market(world, (bundle.population, past, 2), choices)
    np.testing.assert_array_equal(found[1, 1], tape.log_returns())
    assert len(np.unique(found[:, :, 0])) > 1


def test_one_who_knows_more_is_called_better_and_one_who_errs_worse():
    rng = np.random.default_rng(3)
    naive = rng.chisquare(1, 60)
    losses = {NAIVE: naive, "knows": 0.4 * naive, "errs": naive + 1.0, "same": naive}
    given = {"s": {name: Losses(loss, loss) for name, loss in losses.items()}}
    found = compare_losses(given, lambda loss: loss.crps)
    words = {name: verdict.word for (_, name), verdict in found.items()}
    assert words == {"knows": "better", "errs": "worse", "same": "undecided"}
    assert found["s", "knows"].p_adjusted >= found["s", "knows"].p_value


def test_a_series_is_forecast_by_all_from_what_was_known(opened, sp500):
    short = sp500.slice(0, 700)
    settings = Settings(origins=20, fitted_days=100, members=4, agents=40)
    tables = {"market": opened.table(), "teachers": opened.table()}
    found = forecast_series(settings, short, opened.bundle, tables)
    assert next(iter(found)) == NAIVE
    assert all(len(losses.crps) == 20 for losses in found.values())
    np.testing.assert_array_equal(found["teachers"].crps, found["market-rescaled"].crps)
    np.testing.assert_allclose(found["market"].squared, found["teachers"].squared)
    known = short.log_returns[:-60]
    spread = past_spread(short.log_returns, np.array([len(known)]))[0]
    assert spread == pytest.approx(known[-250:].std())
    with pytest.raises(ConfigError, match="fewer origins"):
        forecast_series(settings, sp500.slice(0, 200), opened.bundle, tables)
