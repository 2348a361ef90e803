"""How a market answers a buyer: what the pairs share, and what is measured on known markets."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.bundle import Bundle, Reference
from evobourse.experiments.cli.main import app
from evobourse.experiments.config.scenario import Beside, Scenario, Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate import bundle as simulate_bundle
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.experiments.studies.impact.response import (
    WEALTH_LOTS,
    Runs,
    draw_response,
    measure_rates,
    measure_response_to,
    print_response,
    read_rates,
    run_pairs,
)
from evobourse.fitness.errors import FitnessError
from evobourse.market.crowds.pov import VolumeParticipant
from evobourse.market.rules import MarketRules

AGENTS, DAYS, RATES = 60, 40, (0.1, 0.3)


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500):
    who = population([[0.0, 1.0], [1.0, 0.0]], attention=1)
    past = history_ticks(sp500.close[:1000])
    made = Reference(AGENTS, DAYS, 1, "")
    return Bundle("b", "", "", 1, None, (), (), who, offsets, MarketRules(fee_bps=5), past, made)


@pytest.fixture(scope="module")
def choices(bundle):
    return tabulate_choices([bundle.population], TeacherMinds(("momentum", "contrarian")))[0]


@pytest.fixture(scope="module")
def runs(bundle, choices):
    return run_pairs(Scenario(), bundle, choices, RATES, 2, Size(AGENTS, DAYS, 5))


def test_the_buyer_takes_its_part_of_every_run_but_the_first(runs):
    assert runs.rates == (0.0, *RATES)
    assert not runs.bought[0].any()
    assert (runs.bought <= runs.volume).all()
    part = runs.bought[1:].sum(axis=2) / runs.volume[1:].sum(axis=2)
    assert part == pytest.approx(np.repeat(np.array(RATES)[:, None], 2, axis=1), rel=0.15)
    usual = runs.volume[0].mean(axis=1)
    np.testing.assert_allclose(runs.flow[2, 1], runs.bought[2, 1] / usual[1])


def test_pairs_are_one_market_until_the_buyers_first_fill(runs):
    assert (runs.closes[:, :, 0] == runs.closes[0, 0, 0]).all()
    for row in (1, 2):
        for pair in range(2):
            first = np.flatnonzero(runs.bought[row, pair])[0]
            np.testing.assert_array_equal(
                runs.closes[row, pair, : first + 1], runs.closes[0, pair, : first + 1]
            )
    assert (runs.closes[0, 0] != runs.closes[0, 1]).any()


def test_a_pair_is_the_scenarios_own_run_and_does_not_depend_on_its_company(
    bundle, choices, runs, tmp_path
):
    buyer = VolumeParticipant(0.3, 0, DAYS - 1)
    further = [(buyer, WEALTH_LOTS * AGENTS)]
    tape = run_scenario(
        Scenario(), bundle, choices, Size(AGENTS, DAYS, 6), tmp_path / "t", further=further
    )
    np.testing.assert_array_equal(tape.frame("prices")["close_ticks"], runs.closes[2, 1, 1:])
    assert buyer.traded_lots == runs.bought[2, 1].sum()


def test_beside_other_traders_the_buyer_is_still_found(bundle, choices):
    place = Scenario(("call", "continuous"), beside=Beside(2, 20, 10))
    found = run_pairs(place, bundle, choices, (0.2,), 1, Size(40, 20, 1))
    part = found.bought[1].sum() / found.volume[1].sum()
    assert part == pytest.approx(0.2, rel=0.25)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def known(rng):
    """Markets whose log price gives way by 3 % per usual day's volume, to the tick."""
    shape = (3, 4, 80)
    volume = np.full(shape, 10_000)
    bought = rng.integers(100, 3000, shape)
    bought[0] = 0
    returns = 0.01 * rng.standard_normal(shape[1:]) + 0.03 * bought / 10_000
    start = np.zeros((3, 4, 1))
    closes = np.rint(1e9 * np.exp(np.concatenate([start, returns.cumsum(axis=2)], axis=2)))
    return Runs((0.0, 0.1, 0.2), closes.astype(np.int64), volume, bought)


def test_a_known_lambda_comes_out_at_each_rate_and_pooled(known, rng):
    report = measure_rates(known, rng)
    fits = [report.pooled, *(rate.measured.all_flows for rate in report.rates)]
    assert [fit.slope for fit in fits] == pytest.approx([0.03] * 3, rel=1e-4)
    assert [fit.days for fit in fits] == [640, 320, 320]
    for row, rate in enumerate(report.rates, 1):
        np.testing.assert_allclose(rate.participation, known.bought[row].sum(axis=1) / 8e5)
        total = 0.03 * known.bought[row].sum(axis=1).mean() / 10_000
        assert rate.measured.response[-1] == pytest.approx(total, rel=1e-4)


def test_a_response_that_is_not_linear_is_called_so(known, rng):
    curved = 0.05 * (np.sqrt(known.flow) - known.flow) + 1e-4 * rng.standard_normal((3, 4, 80))
    curved[0] = 0
    bent = np.rint(known.closes[:, :, 1:] * np.exp(curved.cumsum(axis=2))).astype(np.int64)
    closes = np.concatenate([known.closes[:, :, :1], bent], axis=2)
    report = measure_rates(replace(known, closes=closes), rng)
    assert report.pooled.linearity_p < 0.001


def test_too_few_days_are_refused(known, rng):
    short = replace(
        known,
        closes=known.closes[:, :1, :11],
        volume=known.volume[:, :1, :10],
        bought=known.bought[:, :1, :10],
    )
    with pytest.raises(FitnessError, match="let the buyer trade longer"):
        measure_rates(short, rng)


def test_the_report_fits_the_terminal_and_one_pair_has_no_interval(runs, rng):
    alone = Runs(runs.rates, runs.closes[:, :1], runs.volume[:, :1], runs.bought[:, :1])
    for shown in (runs, alone):
        report, text = measure_rates(shown, rng), io.StringIO()
        print_response(report, Console(file=text, width=80))
        assert "…" not in text.getvalue()
        back = json.loads(json.dumps(report.as_json(), allow_nan=False))
        assert [row["rate"] for row in back["rates"]] == list(RATES)
        assert (back["rates"][0]["impact_low"] is None) == (shown is alone)
        [axes] = draw_response(report).axes
        assert "%" in axes.get_ylabel()


@pytest.mark.parametrize("rates", ["", "0.1,x"])
def test_rates_that_are_no_numbers_are_refused(rates):
    with pytest.raises(ConfigError, match="expected numbers"):
        read_rates(rates)


@pytest.mark.parametrize("rates", [(), (0.1, 0.1), (0.0, 0.1), (1.0,), (float("nan"),)])
def test_impossible_rates_are_refused(rates, bundle, choices):
    with pytest.raises(ConfigError, match="numbers over 0 and below 1"):
        measure_response_to(bundle, choices, Scenario(), rates, 1, Size(60, 40, 1))


def test_the_command_prints_json_and_draws(bundle, monkeypatch, tmp_path):
    minds = TeacherMinds(("momentum", "contrarian"))
    opened = OpenPopulation(bundle, minds, Encoding())
    monkeypatch.setattr(simulate_bundle, "open_population", lambda place: opened)
    (tmp_path / "hashes.json").touch()  # what makes a folder a bundle
    size = ["--pairs", "1", "--days", "32", "--agents", "40", "--rates", "0.2", "--json"]
    out = tmp_path / "p.png"
    done = CliRunner().invoke(app, ["response", str(tmp_path), *size, "--out", str(out)])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["out"] == str(out)
    assert told["rates"][0]["participation"] == pytest.approx(0.2, rel=0.3)
    assert out.read_bytes().startswith(b"\x89PNG")
