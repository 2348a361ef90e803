"""Traders from outside: the libraries' own checks, accounts to the cent, the same bytes again."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.experiments.config.scenario import Beside, Scenario, Size, Terms
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate import environment
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.traders import RETURNS, SEEN, TraderMarket, TraderRules
from evobourse.market.rules import MarketRules

FEE_BPS, DAYS, LOTS = 5, 12, 100


@pytest.fixture(scope="module")
def opened(population, offsets, sp500):
    people = population([[0.0, 1.0], [1.0, 0.0]], attention=3)
    bundle = SimpleNamespace(
        population=people,
        offsets=offsets,
        rules=MarketRules(fee_bps=FEE_BPS),
        history=history_ticks(sp500.close[:1000]),
        adapters=(),
    )
    return OpenPopulation(bundle, TeacherMinds(("momentum", "news-driven")), Encoding())


def play(market, actions, seed=3):
    """Play an episode; return what was seen (also before), and what came of each turn."""
    seen, came = [market.reset(seed)], []
    for action in actions:
        came.append(market.step(action))
        seen.append(market.observe())
    return np.array(seen), came


def test_the_same_seed_and_orders_are_the_same_bytes(opened):
    scenario = Scenario(turns=("call", "continuous"), beside=Beside(market_makers=2))
    actions = np.random.default_rng(0).uniform(-1, 1, (2 * DAYS, 2, 2))
    market = TraderMarket(opened, Size(40, DAYS, 0), scenario, TraderRules(2))
    first, again = play(market, actions), play(market, actions)
    assert first[0].tobytes() == again[0].tobytes()
    assert [c.equity_cents.tolist() for c in first[1]] == [
        c.equity_cents.tolist() for c in again[1]
    ]
    assert first[0].tobytes() != play(market, actions, seed=4)[0].tobytes()
    assert [c.over for c in first[1]] == [False] * (2 * DAYS - 1) + [True]
    assert any(c.filled_lots.any() for c in first[1])


def test_who_orders_nothing_changes_nothing(opened):
    one, three = (
        play(TraderMarket(opened, Size(40, DAYS, 0), None, TraderRules(n)), np.zeros((DAYS, n, 2)))
        for n in (1, 3)
    )
    np.testing.assert_array_equal(one[0], three[0][:, :1])
    np.testing.assert_array_equal(three[0][:, 0], three[0][:, 2])


def test_rewards_are_the_log_return_of_what_is_owned(opened):
    market = TraderMarket(opened, Size(40, DAYS, 0))
    market.reset(3)
    start = market.price_ticks * LOTS * 2
    _, came = play(market, np.zeros((DAYS, 1, 2)))
    rewards = sum(float(step.reward[0]) for step in came)
    final = market.price_ticks * LOTS + start // 2
    assert came[-1].equity_cents.tolist() == [final]
    assert rewards == pytest.approx(np.log(final / start), abs=1e-12)


def test_orders_are_paid_to_the_cent(opened):
    """Follow the account of a trader who buys with all it has, then sells all."""
    market = TraderMarket(opened, Size(40, DAYS, 0))
    market.reset(3)
    cash, held = market.price_ticks * LOTS, LOTS
    for want in (1.0, 1.0, -1.0, -0.5):
        came = market.step(np.array([[want, 1.0]]))
        fills, price = market._listing.fills_today(), market.price_ticks
        for name, sign in (("buyer", 1), ("seller", -1)):
            own = getattr(fills, name) == 40  # the row after the population's
            lots, paid = sign * fills.quantity[own], fills.price_ticks[own]
            assert (sign * int(came.filled_lots[0]) > 0) == own.any()
            held += int(lots.sum())
            cash -= int((lots * paid).sum() + (np.abs(lots) * paid * FEE_BPS // 10_000).sum())
        assert came.equity_cents.tolist() == [cash + held * price]
        assert held >= 0 <= cash
    assert market.observe()[0, SEEN.index("held")] == pytest.approx(
        held * price / (cash + held * price), abs=1e-6
    )
    assert held < LOTS


def test_what_is_seen_is_what_the_tape_says(opened):
    seen, _ = play(TraderMarket(opened, Size(40, DAYS, 0)), np.zeros((DAYS, 1, 2)))
    tape = opened.bundle.history
    start = np.diff(np.log(tape[-RETURNS - 1 :]))
    np.testing.assert_allclose(seen[0, 0, :RETURNS], start, atol=1e-7)
    np.testing.assert_array_equal(seen[1:, 0, : RETURNS - 1], seen[:-1, 0, 1:RETURNS])
    days_left = SEEN.index("days_left")
    np.testing.assert_allclose(seen[:, 0, days_left], 1 - np.arange(DAYS + 1) / DAYS, atol=1e-7)
    assert seen[0, 0, SEEN.index("volume")] == 0
    assert (np.abs(seen) <= 1).all()


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (Scenario(cast="cast.yaml"), "cast: an environment"),
        (Scenario(stock=Terms(kind="future")), r"stock\.kind"),
    ],
)
def test_what_cannot_be_traded_in_is_refused(opened, scenario, said):
    with pytest.raises(ConfigError, match=said):
        TraderMarket(opened, Size(40, DAYS, 0), scenario)


def test_without_the_library_the_extra_is_named(opened, monkeypatch):
    monkeypatch.setattr(environment, "gymnasium", None)
    with pytest.raises(ConfigError, match=r"evobourse\[gymnasium\]"):
        environment.TraderEnvironment(opened)


def test_gymnasiums_own_checks(opened):
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    name = f"{environment.__name__}:evobourse/Market-v0"
    made = gymnasium.make(name, place=opened, agents=40, days=DAYS)
    check_env(made.unwrapped)  # its warnings are errors here
    seen, info = made.reset(seed=5)
    again, known = made.reset(seed=5)
    assert seen.tobytes() == again.tobytes()
    assert info == known
    assert made.reset()[1] != info
    ends = [made.step(made.action_space.sample())[2:4] for _ in range(DAYS)]
    assert ends == [(False, False)] * (DAYS - 1) + [(False, True)]


def test_pettingzoos_own_checks(opened):
    pytest.importorskip("pettingzoo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its tests import
        from pettingzoo.test import parallel_api_test, parallel_seed_test

    def make():
        return environment.TradersEnvironment(opened, traders=3, agents=40, days=DAYS)

    parallel_api_test(make(), num_cycles=2 * DAYS)
    parallel_seed_test(make, num_cycles=DAYS)
    made = make()
    made.reset(seed=1)
    rewards = made.step({"trader_1": np.array([1.0, 1.0], np.float32)})[1]
    assert rewards["trader_0"] == rewards["trader_2"] != rewards["trader_1"]
