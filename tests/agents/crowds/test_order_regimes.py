"""Orders by regime: against held-out real days, scikit-learn, and a plain search of real waits."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance
from sklearn.mixture import GaussianMixture

from evobourse.agents.crowds.order_regimes import (
    DISTANCES,
    LONGEST_DAYS,
    USUAL_DAYS,
    fit_regimes,
    measure_orders,
    read_regimes,
)
from evobourse.agents.errors import AgentError
from evobourse.agents.personas.traits import ORDER_STYLES, OrderStyle, order_style
from evobourse.market.series.named import load_series

TRAIN_END, HELDOUT_START = np.datetime64("2006-12-29"), np.datetime64("2007-06-01")
DRAWS = 20_000


@pytest.fixture(scope="module", params=["sp500", "nasdaq"])
def real(request):
    """What orders met in training years, and in years that no fit has seen."""
    series = load_series(request.param)
    train = series.slice(0, int((series.dates <= TRAIN_END).sum()))
    later = series.slice(int((series.dates < HELDOUT_START).sum()) - USUAL_DAYS - 1, len(series))
    return tuple(measure_orders(s.high, s.low, s.close, s.volume) for s in (train, later))


def drawn_reach(mixture, fitted):
    rng = np.random.default_rng(0)
    offset, _ = mixture.draw(rng.random(DRAWS), rng.standard_normal((2, DRAWS)))
    return fitted.reach[0] + fitted.reach[1] * offset


@pytest.mark.parametrize("mixture", ["gaussian", "kmeans"])
def test_held_out_offsets_are_nearer_to_their_regimes_than_to_one_fit_for_all(mixture, real):
    train, later = real
    fitted, single = (fit_regimes(train, n, mixture) for n in (3, 1))
    regime = fitted.regime(later.signs)
    distances, weights = [], []
    for r in range(3):
        reach = np.concatenate([x[regime == r] for x in (later.high, later.low)])
        own, common = (
            drawn_reach(m, f)
            for m, f in ((fitted.mixtures[r], fitted), (single.mixtures[0], single))
        )
        distances.append(
            [
                [distance(reach, drawn) for drawn in (own, common)]
                for distance in (wasserstein_distance, lambda a, b: ks_2samp(a, b).statistic)
            ]
        )
        weights.append(len(reach))
    own, common = np.average(distances, axis=0, weights=weights).T
    # Over all held-out days far nearer by both; a small regime alone need not be.
    assert (own < 0.75 * common).all()
    assert sum(nearer[0] < nearer[1] for nearer, _ in distances) >= 2
    spread = [np.std(drawn_reach(m, fitted)) for m in fitted.mixtures]
    assert max(spread) > 1.2 * spread[0]  # calm first


def test_regimes_are_those_of_scikit_learn(real):
    train, later = real
    fitted = fit_regimes(train, 3)
    z, new = ((x.signs - np.array(fitted.centre)) / np.array(fitted.scale) for x in real)
    oracle = GaussianMixture(3, n_init=4, random_state=0).fit(z)
    rank = np.argsort(np.argsort(oracle.means_[:, 0]))
    np.testing.assert_array_equal(fitted.regime(later.signs), rank[oracle.predict(new)])
    assert [m[0] for m in fitted.means] == sorted(m[0] for m in fitted.means)


def test_draws_have_the_moments_of_the_days_that_were_fitted(real):
    train, _ = real
    fitted = fit_regimes(train, 2)
    regime = fitted.regime(train.signs)
    rng = np.random.default_rng(1)
    for r, mixture in enumerate(fitted.mixtures):
        days = np.flatnonzero(regime == r)
        reach = np.concatenate([train.high[days], train.low[days]])
        offsets = (reach - fitted.reach[0]) / fitted.reach[1]
        offset, quantity = mixture.draw(rng.random(100_000), rng.standard_normal((2, 100_000)))
        level = np.log(np.exp(train.quantity).mean())
        assert offset.mean() == pytest.approx(offsets.mean(), abs=0.02)
        assert offset.std() == pytest.approx(offsets.std(), abs=0.03)
        assert quantity.mean() == pytest.approx(train.quantity[days].mean() - level, abs=0.02)
        assert quantity.std() == pytest.approx(train.quantity[days].std(), abs=0.02)
        pairs = np.corrcoef(offset, quantity)[0, 1]
        told = np.corrcoef(offsets, np.tile(train.quantity[days], 2))[0, 1]
        assert pairs == pytest.approx(told, abs=0.03)


def test_waits_are_those_that_a_plain_search_finds(sp500):
    series = sp500.slice(0, 900)
    measured = measure_orders(series.high, series.low, series.close, series.volume)
    for row in np.random.default_rng(2).choice(len(measured.unit) - LONGEST_DAYS, 60, False):
        day = row + USUAL_DAYS + 1
        for at, distance in enumerate(DISTANCES):
            buy, sell = (
                series.close[day - 1] * np.exp(sign * distance * measured.unit[row])
                for sign in (1, -1)
            )
            following = range(day + 1, day + LONGEST_DAYS)
            expected = [0, 0]
            if series.close[day] > buy:
                back = [d - day + 1 for d in following if series.low[d] <= buy]
                expected[0] = back[0] if back else 1
            if series.close[day] < sell:
                back = [d - day + 1 for d in following if series.high[d] >= sell]
                expected[1] = back[0] if back else 1
            assert measured.waits[:, row, at].tolist() == expected


def test_lives_follow_the_table_and_patience_stretches_them(real):
    fitted = fit_regimes(real[0], 2)
    uniform = (np.arange(10_000) + 0.5) / 10_000
    life = fitted.life(1, np.full(10_000, DISTANCES[2]), uniform)
    share = np.bincount(life - 1, minlength=LONGEST_DAYS) / 10_000
    np.testing.assert_allclose(share, fitted.lives[1][2], atol=2e-4)
    patient = fitted.life(1, np.full(10_000, DISTANCES[2]), uniform, np.full(10_000, 3.0))
    np.testing.assert_array_equal(patient, np.minimum(1 + 3 * (life - 1), LONGEST_DAYS))
    assert replace(fitted, longest_days=1).life(1, np.ones(9), uniform[:9]).tolist() == [1] * 9


def test_a_fit_is_seeded_knows_no_currency_and_comes_back_from_a_file(sp500):
    series = sp500.slice(0, 1500)
    measured, scaled = (
        measure_orders(k * series.high, k * series.low, k * series.close, 7.0 * k * series.volume)
        for k in (1.0, 4.0)
    )
    fitted = fit_regimes(measured, 2, seed=5)
    assert fit_regimes(measured, 2, seed=5) == fitted
    other = fit_regimes(scaled, 2, seed=5)
    for name in ("means", "weights", "reach", "lives"):
        np.testing.assert_allclose(getattr(other, name), getattr(fitted, name), atol=1e-6)
    assert read_regimes(asdict(fitted)) == fitted


def test_without_volumes_quantities_are_as_without_regimes(sp500):
    series = sp500.slice(0, 1500)
    for mixture in ("gaussian", "kmeans"):
        bare = measure_orders(series.high, series.low, series.close)
        fitted = fit_regimes(bare, 2, mixture)
        rng = np.random.default_rng(0)
        for one in fitted.mixtures:
            _, quantity = one.draw(rng.random(100), rng.standard_normal((2, 100)))
            np.testing.assert_allclose(quantity, 0.0, atol=1e-9)


def test_too_few_days_are_refused(sp500):
    few, some = sp500.slice(0, 400), sp500.slice(0, 600)
    with pytest.raises(AgentError, match="received 400 days, expected at least 501"):
        measure_orders(few.high, few.low, few.close)
    measured = measure_orders(some.high, some.low, some.close)
    with pytest.raises(AgentError, match="fit fewer regimes, or more days"):
        fit_regimes(measured, 8, components=10)


def test_styles_of_orders_mix_geometrically():
    assert order_style({"value": 1.0}) == ORDER_STYLES["value"]
    assert order_style({}) == order_style({"value": -1.0, "unheard-of": 2.0}) == OrderStyle()
    half = order_style({"value": 0.5})
    assert half.patience == pytest.approx(2**0.5)
    both = order_style({"value": 1.0, "breakout": 1.0})
    assert both.patience == pytest.approx((2.0 * 0.25) ** 0.5)
    with pytest.raises(AgentError, match="patience is -1"):
        OrderStyle(patience=-1)
