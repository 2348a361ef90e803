import doctest

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.signal import lfilter
from scipy.stats import ttest_1samp
from statsmodels.stats.multitest import multipletests
from statsmodels.tsa.ar_model import AutoReg

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.forecasts import (
    ForecastRow,
    baseline_forecasts,
    compare_forecasts,
    rolling_origins,
)


def by_name(rows: tuple[ForecastRow, ...]) -> dict[str, ForecastRow]:
    return {row.name: row for row in rows}


def ar1(rng, phi, days):
    return 0.01 * lfilter([1.0], [1.0, -phi], rng.standard_normal(days + 200))[200:]


@pytest.fixture
def noise(rng):
    return 0.01 * rng.standard_normal(240)


@pytest.fixture
def origins():
    return rolling_origins(240, 60)


def windows(returns, origins):
    return np.stack([returns[o : o + 3] for o in origins])


def test_origins_forecast_every_day_once():
    origins = rolling_origins(100, 40)
    days = origins[:, None] + np.arange(3)
    assert days.ravel().tolist() == list(range(40, 100))
    assert rolling_origins(99, 40)[-1] + 3 == 97
    assert len(rolling_origins(42, 40)) == 0


def test_the_loss_is_the_mean_squared_error_of_three_days(noise, origins, rng):
    forecast = 0.005 * rng.standard_normal((len(origins), 3))
    rows = by_name(compare_forecasts(noise, origins, {"market": forecast}))
    gaps = [[(noise[o + i] - forecast[k, i]) ** 2 for i in range(3)] for k, o in enumerate(origins)]
    np.testing.assert_allclose(rows["market"].losses, [sum(gap) / 3 for gap in gaps])
    assert rows["market"].loss == pytest.approx(np.mean(gaps))
    assert rows["zero_return"].loss == pytest.approx(np.mean(noise[60:240] ** 2))
    assert rows["zero_return"].loss_ratio == 1.0
    assert rows["zero_return"].verdict == "naive"
    ratio = rows["market"].loss / rows["zero_return"].loss
    assert rows["market"].loss_ratio == pytest.approx(ratio)


def test_the_corrected_statistic_is_student_t_of_the_loss_differences(noise, origins, rng):
    # without overlap the correction turns the divisor O of the variance into O - 1
    forecasts = {name: 0.004 * rng.standard_normal((len(origins), 3)) for name in "abc"}
    zero, *rows = compare_forecasts(noise, origins, forecasts)
    for row in rows:
        oracle = ttest_1samp(row.losses - zero.losses, 0.0)
        assert (row.dm, row.p_value) == pytest.approx((oracle.statistic, oracle.pvalue))
    holm = multipletests([row.p_value for row in rows], method="holm")[1]
    assert [row.p_adjusted for row in rows] == pytest.approx(holm)


def test_an_autoregression_is_forecast_and_the_test_says_so(rng):
    returns = ar1(rng, 0.9, 750)
    origins = rolling_origins(750, 300)
    rows = by_name(compare_forecasts(returns, origins, baseline_forecasts(returns, origins)))
    # variances of the errors at 1, 2 and 3 days over that of the process
    k = np.array([1, 2, 3])
    assert rows["arima"].loss_ratio == pytest.approx(np.mean(1 - 0.9 ** (2 * k)), abs=0.08)
    assert rows["last_return"].loss_ratio == pytest.approx(np.mean(2 - 2 * 0.9**k), abs=0.08)
    assert rows["arima"].dm < -4
    assert rows["arima"].p_adjusted < 1e-4
    assert [row.verdict for row in rows.values()] == ["naive", "better", "better", "better"]


def test_nothing_beats_the_zero_return_on_white_noise(rng):
    beaten = []
    for _ in range(30):
        returns = 0.01 * rng.standard_normal(150)
        origins = rolling_origins(150, 90)
        forecasts = baseline_forecasts(returns, origins)
        rows = by_name(compare_forecasts(returns, origins, forecasts))
        beaten.append("better" in {row.verdict for row in rows.values()})
        assert rows["last_return"].loss_ratio > 1
    assert np.mean(beaten) <= 0.1


def test_forecasters_of_equal_accuracy_are_told_apart_at_the_level_of_the_test(noise, origins, rng):
    # squared errors uniform from zero to twice the squared returns: as large on average
    relative_errors = np.sqrt(rng.uniform(0, 2, (400, len(origins), 3)))
    actual = windows(noise, origins)
    forecasts = {str(i): actual * (1 + error) for i, error in enumerate(relative_errors)}
    rows = compare_forecasts(noise, origins, forecasts)[1:]
    p_values = np.array([row.p_value for row in rows])
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=0.033)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)
    assert {row.verdict for row in rows} == {"undecided"}


def test_the_documented_example_finds_a_market_that_knows(noise, rng, capsys):
    origins = rolling_origins(240, 150)
    moves = windows(noise, origins)[:, None] + 0.02 * rng.standard_normal((len(origins), 30, 3))
    prices = 100 * np.exp(np.pad(moves.cumsum(axis=-1), [(0, 0), (0, 0), (1, 0)]))
    example = doctest.DocTestParser().get_examples(compare_forecasts.__doc__)
    script = "".join(line.source for line in example).replace("first=250", "first=150")
    names = {"rolling_origins": rolling_origins, "baseline_forecasts": baseline_forecasts}
    names |= {"compare_forecasts": compare_forecasts, "np": np}
    exec(script, names | {"log_returns": noise, "settlement_prices": prices})
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in table] == ["zero_return", "last_return", "arima", "ets", "market"]
    assert (table[0][-1], table[1][-1], table[4][-1]) == ("naive", "worse", "better")


def test_a_forecaster_equal_to_the_naive_one_is_no_different(noise, origins):
    forecasts = {"equal": np.zeros((len(origins), 3)), "nearly": np.full((len(origins), 3), 1e-15)}
    for row in compare_forecasts(noise, origins, forecasts)[1:]:
        assert (row.dm, row.p_value, row.verdict) == (0.0, 1.0, "undecided")
        assert row.loss_ratio == pytest.approx(1.0)


def test_a_bad_forecaster_is_called_worse(noise, origins):
    row = compare_forecasts(noise, origins, {"loud": np.full((len(origins), 3), 0.05)})[1]
    assert row.verdict == "worse"
    assert row.dm > 5
    assert row.loss_ratio > 10


def test_no_forecast_sees_the_future(noise):
    origins = rolling_origins(240, 200)
    seen = baseline_forecasts(noise, origins)
    changed = noise.copy()
    changed[origins[6] :] = 0.05 * np.cos(np.arange(240 - origins[6]) ** 2)
    other = baseline_forecasts(changed, origins)
    for name, forecast in seen.items():
        np.testing.assert_array_equal(forecast[:7], other[name][:7])
        assert (forecast[7:] != other[name][7:]).any(axis=1).all(), name


def test_arima_is_an_autoregression_with_a_constant(rng):
    returns = 0.003 + ar1(rng, 0.6, 400)
    forecast = baseline_forecasts(returns, [397])["arima"][0]
    least_squares = AutoReg(returns[:397], lags=1).fit().forecast(3)
    np.testing.assert_allclose(forecast, least_squares, atol=2e-4)


def test_ets_is_exponential_smoothing_with_the_least_squared_error(rng):
    returns = 0.002 * rng.standard_normal(300).cumsum() + 0.01 * rng.standard_normal(300)

    def levels(alpha, first):
        level = [first]
        for value in returns[:297]:
            level.append(level[-1] + alpha * (value - level[-1]))
        return np.array(level)

    best = minimize(
        lambda x: 1e4 * np.sum((returns[:297] - levels(*x)[:-1]) ** 2),
        [0.3, returns[0]],
        method="Nelder-Mead",
    )
    forecast = baseline_forecasts(returns, [297])["ets"][0]
    np.testing.assert_allclose(forecast, levels(*best.x)[-1], atol=2e-4)


def test_a_missing_forecast_costs_the_whole_loss(noise, origins):
    gaps = np.zeros((len(origins), 3))
    gaps[4, 1], gaps[9] = np.nan, 1e300
    forecasts = {"gaps": gaps, "loud": np.full((len(origins), 3), 0.05)}
    rows = by_name(compare_forecasts(noise, origins, forecasts))
    assert rows["gaps"].verdict == f"no forecast at 2 of {len(origins)} origins"
    assert rows["gaps"].loss == rows["gaps"].loss_ratio == np.inf
    assert np.isnan([rows["gaps"].dm, rows["gaps"].p_value, rows["gaps"].p_adjusted]).all()
    assert rows["loud"].p_adjusted == rows["loud"].p_value


def test_a_market_that_stood_still_leaves_the_fitted_without_a_forecast(noise, origins):
    noise[:64] = 0.0
    rows = by_name(compare_forecasts(noise, origins, baseline_forecasts(noise, origins)))
    assert rows["arima"].verdict.startswith("no forecast at ")
    assert rows["ets"].loss == np.inf
    assert np.isfinite(rows["last_return"].loss)


@pytest.mark.parametrize(
    ("days", "first", "message"),
    [
        (20, 5, "log returns: 20 days, fewer than 30"),
        (240, 10, "each from 30 days known to 237"),
        (240, 240, r"origins \[\]"),
        (240, 200, "13 origins, expected 20 or more"),
    ],
)
def test_too_little_data_is_refused(days, first, message, noise):
    origins = rolling_origins(days, first)
    with pytest.raises(FitnessError, match=message):
        compare_forecasts(noise[:days], origins, {})


def test_a_question_without_an_answer_is_refused(noise, origins):
    with pytest.raises(FitnessError, match="ascending by 3 days"):
        compare_forecasts(noise, np.arange(60, 100), {})
    with pytest.raises(FitnessError, match=r"'market' have shape \(60, 1\), expected \(60, 3\)"):
        compare_forecasts(noise, origins, {"market": np.zeros((60, 1))})
    with pytest.raises(FitnessError, match="constant price"):
        compare_forecasts(np.zeros(240), origins, {})
    with pytest.raises(FitnessError, match="integers"):
        baseline_forecasts(noise, origins / 2)
    with pytest.raises(FitnessError, match="every return to forecast is zero"):
        compare_forecasts(np.where(np.arange(240) < 60, noise, 0.0), origins, {})
    with pytest.raises(FitnessError, match="'zero_return' is the naive one"):
        compare_forecasts(noise, origins, {"zero_return": np.ones((60, 3))})
