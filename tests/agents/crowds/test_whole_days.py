"""Days in one compiled call: the exchange's, the plain market's, and those of plain Python."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from evobourse.agents.crowds.order_regimes import fit_regimes, measure_orders
from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
from evobourse.agents.crowds.whole_days import play_days
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import FIELD_NAMES, FIELDS, LEVELS, STRIDES, possible_views
from evobourse.agents.personas.mechanisms import Mechanisms, bounds
from evobourse.agents.personas.social import Contest, Social
from evobourse.agents.personas.traits import OrderStyle, Traits
from evobourse.agents.styles import FIRST_STYLES as STYLES
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.philox import philox
from evobourse.market.rules import MarketRules

CAST = tuple(map(tuple, np.eye(len(STYLES)).tolist()))
RULES = MarketRules(fee_bps=7)
DEAF = Traits(("news", "range"), 1.3, 3.0, receptivity=0.0)
BOLD = Traits(orders=OrderStyle(aggressiveness=2.0, dispersion=0.5, size=2.5), shared_reading=2.5)
SOCIETIES = {
    "quickstart": {"attention": 2, "switching": 0.05},
    "watchful": {"attention": 6, "vigilance": 1.5, "momentary_mask": 0.3, "volatility_weight": 1.0},
    "herd": {"attention": 3, "switching": 0.4, "conformity": 4.0, "performance": 3.0},
    "calm": {"attention": 1, "dispersion": 0.05, "aggressiveness": 0.1, "activity": 1.0},
    "unequal": {"attention": 2, "wealth_tail": 1.1, "dispersion": 2.5, "news_noise": 3.0},
}


MECHANISMS = {
    "quotes": {"two_sided": 1.0, "half_spread": 0.02},
    "some quotes": {"two_sided": 0.5, "half_spread": 0.5},
    "moods": {"shared_reading": 1.5},
    "misaligned": {"misalignment": 3.0},
    "perceived value": {"misalignment": 1.0, "value_news": 1.0, "value_half_life_days": 60.0},
    "by equity": {"equity_sized": 1.0},
    "afraid": {"loss_asymmetry": 1.0},
    "all": {
        "two_sided": 0.6,
        "half_spread": 0.1,
        "shared_reading": 1.0,
        "misalignment": 2.0,
        "value_news": 0.8,
        "equity_sized": 0.7,
        "loss_asymmetry": 0.5,
    },
}


@pytest.fixture(scope="module")
def history(sp500):
    return history_ticks(sp500.close[:1000])


@pytest.fixture(scope="module")
def regimes(sp500):
    part = sp500.slice(0, 1500)
    measured = measure_orders(part.high, part.low, part.close, part.volume)
    return fit_regimes(measured, 3, longest_days=1)


@pytest.fixture(scope="module")
def build(history, offsets):
    """Make a market and its crowd, twice the same of the same seed."""

    def run(people, seed=3, agents=80, record="full", law=None, rules=RULES, past=history):
        [choices] = tabulate_choices([people], TeacherMinds(STYLES))
        of_crowd, of_market = np.random.default_rng(seed).spawn(2)
        crowd = PersonaCrowd(people, choices, law or offsets, agents, of_crowd)
        return Market(rules, past, crowd.accounts(), of_market, record), crowd

    return run


SOCIAL = {
    "friends": Social(),
    "talkative": Social(acquaintances=6, posting=1.0, reads=9, decay=0.1, contagion=0.9),
    "capital": Social(contest=Contest(every=5, replaced=0, part=0.4)),
    "voice": Social(contest=Contest(every=1, flow="voice", replaced=0)),
}


def with_traits(people):
    first, second, *others = people.personas
    traits = replace(first, traits=DEAF), replace(second, traits=BOLD)
    return replace(people, personas=(*traits, *others))


def at_exchange(market, crowd, days):
    """Play the same market at the exchange: its closes, volumes, cash and shares."""
    accounts, rules = market.accounts, market.rules
    terms = {"fee_bps": rules.fee_bps, "price_limit": rules.price_limit}
    history = market.open_day().assets[0].close_ticks
    # The stream of arrival begins where the market's began.
    _, of_market = np.random.default_rng(3).spawn(2)
    exchange = Exchange(
        [Instrument("stock", tick_cents=rules.tick_cents, **terms)],
        [history],
        [crowd],
        accounts.cash_cents.copy(),
        accounts.shares[:, None].copy(),
        of_market,
    )
    bars = [exchange.play_day() for _ in range(days)]
    closes, volume = (np.array([getattr(b, n)[0] for b in bars]) for n in ("close_ticks", "volume"))
    return closes, volume, exchange.ledger.cash_cents, exchange.ledger.position[:, 0]


@pytest.mark.parametrize("by_regime", [False, True])
@pytest.mark.parametrize("name", SOCIETIES)
def test_the_exchange_plays_the_same_sixty_days(name, by_regime, population, build, regimes):
    people = with_traits(population(CAST, **SOCIETIES[name]))
    free = MarketRules()  # the exchange takes its fee by the fill, the daily market by the order
    law = {"law": regimes if by_regime else None, "rules": free}
    market, crowd = build(people, **law)
    play_days(market, crowd, 60)
    tape = market.tape()
    closes, volume, cash, shares = at_exchange(*build(people, **law), 60)
    np.testing.assert_array_equal(tape.close_ticks, closes)
    np.testing.assert_array_equal(tape.volume, volume)
    np.testing.assert_array_equal(tape.accounts.cash_cents, cash)
    np.testing.assert_array_equal(tape.accounts.shares, shares)
    assert volume.sum() > 0


@pytest.mark.parametrize("name", SOCIETIES)
def test_days_in_one_call_are_those_of_the_plain_market_and_of_several_calls(
    name, population, build
):
    check_days(with_traits(population(CAST, **SOCIETIES[name])), build)


def check_days(people, build):
    plain, whole, parts = (build(people) for _ in range(3))
    [expected] = simulate([plain[0]], [plain[1]], 30)
    play_days(*whole, 30)
    for days in (1, 9, 20):
        play_days(*parts, days)
    assert whole[0].tape().digest() == parts[0].tape().digest() == expected.digest()
    for one, other in ((plain[1], whole[1]), (plain[1], parts[1])):
        np.testing.assert_array_equal(one.persona, other.persona)
        np.testing.assert_array_equal(one.decider.success, other.decider.success)
        assert one.observer.volatility == other.observer.volatility
    prices, crowd = build(people, record="prices")
    play_days(prices, crowd, 30)
    np.testing.assert_array_equal(prices.tape().close_ticks, expected.close_ticks)
    assert prices.tape().orders is None


@pytest.mark.parametrize("name", MECHANISMS)
def test_mechanisms_play_the_same_days_everywhere(name, population, build, regimes):
    society = SOCIETIES["herd"] | {"mechanisms": Mechanisms(**MECHANISMS[name])}
    people = with_traits(population(CAST, **society))
    check_days(people, build)
    for law in (None, regimes):
        free = {"law": law, "rules": MarketRules()}
        market, crowd = build(people, **free)
        play_days(market, crowd, 60)
        tape = market.tape()
        closes, volume, cash, shares = at_exchange(*build(people, **free), 60)
        np.testing.assert_array_equal(tape.close_ticks, closes)
        np.testing.assert_array_equal(tape.volume, volume)
        np.testing.assert_array_equal(tape.accounts.cash_cents, cash)
        np.testing.assert_array_equal(tape.accounts.shares, shares)
        assert volume.sum() > 0


def test_a_mechanism_that_is_off_changes_no_draw(population, build):
    digests = []
    for mechanisms in ({}, {"mechanisms": Mechanisms(half_spread=2.0)}):
        market, crowd = build(population(CAST, attention=2, **mechanisms))
        play_days(market, crowd, 20)
        digests.append(market.tape().digest())
    assert digests[0] == digests[1]


def test_who_quotes_bids_below_and_asks_above_and_both_never_trade(population, build):
    quotes = Mechanisms(two_sided=0.5, half_spread=0.1)
    market, crowd = build(population(CAST, attention=2, mechanisms=quotes))
    play_days(market, crowd, 20)
    orders = market.tape().orders
    sent = orders.groupby(["day", "agent"])
    count = sent["side"].agg(["size", "sum", "nunique"])
    assert set(count["size"]) == {1, 2}
    both = count[count["size"] == 2].index
    assert set(both.get_level_values("agent")) == set(np.flatnonzero(crowd.generator.both))
    assert (count.loc[both, "sum"] == 0).all()
    pairs = orders.set_index(["day", "agent"]).loc[both].set_index("side", append=True).sort_index()
    bid, ask = (pairs.xs(side, level="side") for side in (1, -1))
    assert (bid["price_ticks"] < ask["price_ticks"]).all()
    assert (bid["quantity"] == ask["quantity"]).all()
    assert not ((bid["filled"] > 0) & (ask["filled"] > 0)).any()
    assert 0.3 < len(set(both.get_level_values("agent"))) / 80 < 0.7


@pytest.mark.parametrize("mechanised", [False, True])
@pytest.mark.parametrize("name", SOCIAL)
def test_a_society_lives_the_same_days_in_one_call_in_the_plain_market_and_at_the_exchange(
    name, mechanised, population, build
):
    mechanisms = Mechanisms(**MECHANISMS["all"] if mechanised else {})
    social = SOCIAL[name]
    people = population(CAST, {"crowd": 0.0}, attention=4, social=social, mechanisms=mechanisms)
    free = {"rules": MarketRules()}
    plain, whole, parts = (build(people, **free) for _ in range(3))

    def pay(day):
        plain[0].accounts.cash_cents += plain[1].take_transfers()

    [expected] = simulate([plain[0]], [plain[1]], 60, pay)
    play_days(*whole, 60)
    for days in (1, 9, 50):
        play_days(*parts, days)
    tape = whole[0].tape()
    assert tape.digest() == parts[0].tape().digest() == expected.digest()
    assert tape.decisions["mood"].nunique() > 100
    for one in (whole[1], parts[1]):
        for column in ("mood", "likes", "voice"):
            np.testing.assert_array_equal(getattr(one.life, column), getattr(plain[1].life, column))
        np.testing.assert_array_equal(one.life.profiles.weights, plain[1].life.profiles.weights)
        if one.rivalry is not None:
            assert one.rivalry.rounds == plain[1].rivalry.rounds
            assert len(one.rivalry.rounds) == 60 // SOCIAL[name].contest.every
    total = tape.accounts.cash_cents.sum() + tape.accounts.fees_cents
    assert total == build(people, **free)[0].accounts.cash_cents.sum()
    if name != "capital":  # whose transfers the exchange's scenarios pay
        closes, volume, cash, _ = at_exchange(*build(people, **free), 60)
        np.testing.assert_array_equal(tape.close_ticks, closes)
        np.testing.assert_array_equal(tape.volume, volume)
        np.testing.assert_array_equal(tape.accounts.cash_cents, cash)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    agents=st.integers(1, 40),
    fee_bps=st.sampled_from([0, 1, 300, 10_000]),
    price_limit=st.sampled_from([0.01, 0.2, 0.9]),
    start=st.integers(1, 300),
    society=st.fixed_dictionaries(
        {
            "attention": st.integers(1, 6),
            "momentary_mask": st.floats(0, 1),
            "switching": st.floats(0, 1),
            "conformity": st.floats(-5, 50),
            "dispersion": st.floats(0, 3),
            "aggressiveness": st.floats(0, 3),
            "news_noise": st.floats(0, 3),
            "vigilance": st.floats(0, 3),
            "wealth_tail": st.floats(1.01, 9),
        }
    ),
    mechanisms=st.builds(
        Mechanisms,
        **{
            name: (st.just(0.0) if one.least == 0 else st.nothing())
            | st.floats(one.least, one.most, exclude_min=one.above)
            for name, one in bounds().items()
        },
    ),
)
def test_small_markets_conserve_and_are_those_of_the_plain_market(
    population, build, history, seed, agents, fee_bps, price_limit, start, society, mechanisms
):
    people = population(CAST[:3], mechanisms=mechanisms, **society)
    given_rules = MarketRules(fee_bps=fee_bps, price_limit=price_limit)
    past = np.maximum(history[-260:] * start // 10_000, 1)  # down to prices of a few ticks
    (plain, crowd), (whole, other) = (
        build(people, seed, agents, rules=given_rules, past=past) for _ in range(2)
    )
    cash, shares = plain.accounts.cash_cents.sum(), plain.accounts.shares.sum()
    [expected] = simulate([plain], [crowd], 12)
    play_days(whole, other, 12)
    after = whole.accounts
    assert whole.tape().digest() == expected.digest()
    assert after.cash_cents.sum() + after.fees_cents == cash
    assert after.shares.sum() == shares
    assert min(after.cash_cents.min(), after.shares.min()) >= 0


def test_one_agent_more_changes_nobody_elses_draws(population, build):
    people = population(CAST, attention=4, momentary_mask=0.4)
    views = []
    for agents in (80, 81):
        market, crowd = build(people, agents=agents)
        crowd.observe(market.open_day())
        views.append(crowd.observer.sees[:80].tolist())
    assert views[0] == views[1]


# A second implementation


def words_of(agent, day, purpose, key):
    counter = (np.uint64(x) for x in (agent, day, 0, purpose))
    return [int(word) for word in philox(*counter, key)]


def normal_of(row, day, purpose, key):
    a, b, *_ = words_of(row, day, purpose, key)
    return float(ndtri(((a >> 5) * 2**26 + (b >> 6) + 0.5) / 2**53))


def reference_days(market, crowd, days):
    """Play a market agent by agent in plain Python, by the rules' words alone; return closes.

    Only the words that agents draw are not its own.
    """
    society, n = crowd.population.society, crowd.n_agents
    law = crowd.generator.law
    choices = {p: crowd.decider.steps[p] / 65_536 for p in range(len(crowd.population.personas))}
    row = {view: at for at, view in enumerate(possible_views(society.attention).tolist())}
    logs = [math.log(c) for c in market.open_day().assets[0].close_ticks]
    closes = market.open_day().assets[0].close_ticks.tolist()
    cash, shares = (x.tolist() for x in (market.accounts.cash_cents, market.accounts.shares))
    persona, wealth = crowd.persona.tolist(), crowd.wealth
    share, success = crowd.decider.share, [0.0] * len(crowd.population.personas)
    keep, variance, asked, fees = 0.5 ** (1 / society.volatility_memory_days), None, (0, 0), 0
    does, value = society.mechanisms, logs[-1]
    away = 2 - np.arange(5)
    alone = [row[int((level + 1) * STRIDES[1])] for level in range(5)]
    lean = [
        sum(w * (2 - own[a].sum()) for w, a in zip(away, alone, strict=True)) / 12
        for own in choices.values()
    ]
    quotes = [words_of(i, 0, 12, crowd.key)[0] / 2**32 < does.two_sided for i in range(n)]
    moves = np.diff(np.array(logs[-751:]))
    long_run = math.sqrt((moves**2).mean())

    def felt(move):
        return (1 + does.loss_asymmetry * (-1) ** (move > 0)) * move**2

    strides = np.cumprod([1, *(size + 1 for size in LEVELS[:-1])])
    volumes = []
    for day in range(days):
        if variance is None:
            weights = keep ** np.arange(len(moves))[::-1]
            variance = float((felt(moves) * weights).sum() / weights.sum())
        else:
            variance = keep * variance + (1 - keep) * felt(logs[-1] - logs[-2])
        recent = math.sqrt(max(variance, 1e-10))
        path = np.array(logs[-251:])
        returns = np.diff(path)
        sigma = math.sqrt((returns**2).mean())
        quarter = path[-55:]
        news = normal_of(0, day, 7, crowd.key)
        values = [
            (path[-1] - path[-11]) / (sigma * math.sqrt(10)),
            (path[-1] - path.mean()) / (sigma * math.sqrt(60)),
            (path[-1] - quarter.min()) / (quarter.max() - quarter.min()),
            math.sqrt((returns[-20:] ** 2).mean()) / sigma,
            (asked[0] - asked[1]) / max(sum(asked), 1),
        ]
        if does.value_news:
            value += (1 - 0.5 ** (1 / does.value_half_life_days)) * (logs[-1] - value)
            value += does.value_news * long_run * news
            values[1] = (path[-1] - value) / (sigma * math.sqrt(60))
        public = [sum(v >= e for e in f.edges) for v, f in zip(values, FIELDS, strict=False)]
        threshold = math.hypot(1, society.news_noise) * society.news_threshold
        threshold *= (long_run / recent) ** society.vigilance
        shared = [does.shared_reading * normal_of(p, day, 13, crowd.key) for p in range(len(share))]
        present = [persona.count(p) / n for p in range(len(share))]
        pull = [
            society.conformity * len(share) * (x - s)
            + society.performance * y
            + does.misalignment * against * values[1] ** 2
            for x, s, y, against in zip(present, share, success, lean, strict=True)
        ]
        odds = np.cumsum(share * np.exp(np.clip(pull, -20, 20)))
        unit = (1 - society.volatility_weight) * long_run + society.volatility_weight * recent
        orders, tendencies, before = [], [], persona.copy()
        for i in range(n):
            drawn = [half for w in words_of(i, day, 4, crowd.key) for half in (w & 65535, w >> 16)]
            more = [half for w in words_of(i, day, 5, crowd.key) for half in (w & 65535, w >> 16)]
            z = ndtri((np.array(drawn) + 0.5) / 65_536)
            view = 0
            for at, field in enumerate(crowd.observer.sees[i]):
                part = drawn[6 + at] if at < 2 else more[at - 2]
                if field == len(FIELD_NAMES) or part < round(65_536 * society.momentary_mask):
                    continue
                if FIELD_NAMES[field] == "news":
                    heard = news + shared[before[i]] + society.news_noise * z[1]
                    level = 1 + (heard >= threshold) - (heard <= -threshold)
                else:
                    level = public[field]
                view += int((level + 1) * strides[field])
            if drawn[0] < round(65_536 * society.switching):
                place = (words_of(i, day, 6, crowd.key)[0] + 0.5) / 2**32
                persona[i] = int(np.searchsorted(odds[:-1] / odds[-1], place, side="right"))
            own = choices[persona[i]][row[view]]
            tendencies.append(sum(drawn[2] / 65_536 >= edge for edge in own) - 2)
            if drawn[3] >= round(65_536 * society.activity):
                continue
            component = sum(drawn[4] >= edge for edge in law.steps[0])
            offset = law.means[0, component, 0] + law.factors[0, component, 0] * z[5]
            far = society.aggressiveness * tendencies[-1] + society.dispersion * offset
            worth = cash[i] / closes[-1] + shares[i]
            usual = (1 - does.equity_sized) * 2 * wealth[i] + does.equity_sized * 0.01 * worth
            lots = max(1, round(usual * (1 + abs(tendencies[-1]))))
            reach = math.floor(RULES.price_limit * closes[-1] + 1e-9)
            sent = [(far > 0, far)]
            if quotes[i]:
                sent = [(True, far - does.half_spread), (False, far + does.half_spread)]
            below = 0
            for nth, (buys, distance) in enumerate(sent):
                price = below = max(below + 1, round(closes[-1] * math.exp(unit * distance)))
                fee = -(-lots * price * RULES.fee_bps // 10_000)
                funds = lots * price + fee <= cash[i] if buys else lots <= shares[i]
                if abs(price - closes[-1]) <= reach and funds:
                    first, second, *_ = words_of(i, day, 256 * nth, market.key)
                    orders.append((buys, price, lots, first << 32 | second, i))
        asked = tuple(sum(o[2] for o in orders if o[0] == buys) for buys in (True, False))
        close, volume, fills = reference_auction(orders, closes[-1])
        for (buys, _, _, _, i), lots in zip(orders, fills, strict=True):
            fee = -(-lots * close * RULES.fee_bps // 10_000)
            cash[i] -= (lots if buys else -lots) * close + fee
            shares[i] += lots if buys else -lots
            fees += fee
        closes.append(close)
        logs.append(math.log(close))
        volumes.append(volume)
        scaled = min(max((logs[-1] - logs[-2]) / recent, -5), 5)
        for p in range(len(share)):
            own = [t for t, q in zip(tendencies, persona, strict=True) if q == p]
            success[p] = 0.95 * success[p] + 0.05 * scaled * (np.mean(own) if own else 0.0)
    return closes[-days:], volumes, cash, shares, fees


def reference_auction(orders, reference):
    """Try every price; fill the best limits first, equal ones by arrival."""

    def score(price):
        demand = sum(q for buys, p, q, *_ in orders if buys and p >= price)
        supply = sum(q for buys, p, q, *_ in orders if not buys and p <= price)
        return min(demand, supply), -abs(demand - supply), -abs(price - reference)

    limits = {p for _, p, *_ in orders}
    tried = sorted(limits | {p + d for p in limits for d in (-1, 1)} | {reference})
    best = max(tried, key=score, default=reference)
    volume, fills = score(best)[0], [0] * len(orders)
    for side in (True, False):
        ranked = sorted(
            (k for k, o in enumerate(orders) if o[0] == side),
            key=lambda k: (-orders[k][1] if side else orders[k][1], orders[k][3]),
        )
        left = volume
        for k in ranked:
            fills[k] = min(orders[k][2], left)
            left -= fills[k]
    return (best if volume else reference), volume, fills


@pytest.mark.parametrize("name", ["quickstart", "watchful", "herd", "unequal"])
def test_a_hundred_thousand_agent_days_are_those_of_plain_python(name, population, build):
    check_against_plain_python(population(CAST, **SOCIETIES[name]), build)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_hundred_thousand_agent_days_with_mechanisms_too(name, population, build):
    society = SOCIETIES["watchful"] | {"switching": 0.2, "conformity": 2.0}
    mechanisms = Mechanisms(**MECHANISMS[name])
    check_against_plain_python(population(CAST, mechanisms=mechanisms, **society), build)


def check_against_plain_python(people, build):
    market, crowd = build(people, agents=250)
    expected = reference_days(*build(people, agents=250), 100)
    play_days(market, crowd, 100)
    tape = market.tape()
    closes, volumes, cash, shares, fees = expected
    np.testing.assert_array_equal(tape.close_ticks, closes)
    np.testing.assert_array_equal(tape.volume, volumes)
    np.testing.assert_array_equal(tape.accounts.cash_cents, cash)
    np.testing.assert_array_equal(tape.accounts.shares, shares)
    assert tape.accounts.fees_cents == fees > 0


def test_a_market_of_many_agents_is_one_of_few(population, build):
    """As large as they come: nothing in memory or time grows faster than agents."""
    market, crowd = build(population(CAST, attention=2), agents=100_000, record="prices")
    play_days(market, crowd, 3)
    tape = market.tape()
    assert tape.accounts.shares.sum() == crowd.accounts().shares.sum()
    assert (tape.volume > 10_000).all()


def test_what_is_played_elsewhere_is_played_on(population, build):
    people = population(CAST, attention=2)
    mixed, alone = build(people), build(people)
    play_days(*mixed, 5)
    simulate([mixed[0]], [mixed[1]], 5)
    [expected] = simulate([alone[0]], [alone[1]], 10)
    assert mixed[0].tape().digest() == expected.digest()
    assert SimpleNamespace(day=mixed[0].day) == SimpleNamespace(day=10)
