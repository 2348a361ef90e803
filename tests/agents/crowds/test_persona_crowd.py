from itertools import combinations

import numpy as np
import pytest
from scipy.special import softmax

from evobourse.agents.crowds.persona_crowd import START_PRICE_TICKS, PersonaCrowd, history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import RandomMinds, TeacherMinds
from evobourse.agents.observation import FIELD_NAMES, VIEWS, decode_view, possible_views
from evobourse.agents.styles import FIRST_STYLES as STYLES

CAST = tuple(map(tuple, np.eye(len(STYLES)).tolist()))
DIFFERENT = ((0.9, 0.1, 0.0), (0.2, 0.7, -0.3))


@pytest.fixture
def teachers():
    return TeacherMinds(STYLES)


def digests(tapes):
    return [tape.digest() for tape in tapes]


def shown_fields(tape, n_agents=80):
    """Which fields each agent saw on each day: bool[days, agents, F]."""
    levels = decode_view(tape.decisions["view"].to_numpy())
    return (levels >= 0).reshape(len(tape), n_agents, len(FIELD_NAMES))


# Same seed, same bytes


def test_one_seed_makes_one_tape(population, teachers, trade):
    society = population(CAST)
    (first,), (again,), (other,) = (trade([(society, seed)], teachers) for seed in (1, 1, 2))
    assert first.digest() == again.digest()
    assert first.digest() != other.digest()
    assert first.volume.sum() > 0
    assert len(set(first.close_ticks)) > 5


def test_a_tape_does_not_depend_on_the_markets_beside_it(population, trade):
    parts = [
        (population(CAST), 1),
        (population(CAST[::-1], momentary_mask=0.5, attention=5), 2),
        (population(CAST[:2], {"trend": 1.0}, switching=0.3), 1),
    ]
    together = digests(trade(parts, TeacherMinds(STYLES)))
    backwards = digests(trade(parts[::-1], TeacherMinds(STYLES)))[::-1]
    alone = [trade([part], TeacherMinds(STYLES))[0].digest() for part in parts]
    assert together == backwards == alone
    assert len(set(together)) == 3


def test_real_minds_make_the_same_tape_alone_and_beside_another(population, fresh_engine, trade):
    parts = [
        (population(DIFFERENT, attention=2), 1),
        (population(DIFFERENT[1:], attention=1, momentary_mask=0.4), 2),
    ]
    together = trade(parts, fresh_engine(), n_agents=60, days=30)
    for (society, seed), tape in zip(parts, together, strict=True):
        engine = fresh_engine()  # computes what is asked alone: other batches, same bits
        (alone,) = trade([(society, seed)], engine, n_agents=60, days=30)
        assert alone.digest() == tape.digest()
        views = possible_views(society.society.attention)
        assert engine.counters.computed == len(society.personas) * len(views)
        assert tape.volume.sum() > 0


# What the market holds is conserved


@pytest.mark.parametrize("minds", [RandomMinds(), TeacherMinds(STYLES)])
def test_cash_and_shares_are_conserved(population, minds, trade, offsets):
    society = population(CAST, wealth_tail=1.2)
    (tape,) = trade([(society, 3)], minds)
    crowd_rng = np.random.default_rng(3).spawn(1)[0]
    [choices] = tabulate_choices([society], minds)
    before = PersonaCrowd(society, choices, offsets, 80, crowd_rng).accounts()
    after = tape.accounts
    assert after.fees_cents > 0
    assert after.cash_cents.sum() + after.fees_cents == before.cash_cents.sum()
    assert after.shares.sum() == before.shares.sum()
    assert (after.cash_cents >= 0).all()
    assert (after.shares >= 0).all()
    assert (before.cash_cents == before.shares * START_PRICE_TICKS).all()


# Information asymmetry


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_nobody_sees_a_field_that_is_always_masked(field, population, teachers, trade):
    society = population(CAST, {field: 1.0}, attention=6, momentary_mask=0.0)
    (tape,) = trade([(society, 1)], teachers, days=5)
    seen = shown_fields(tape)
    at = FIELD_NAMES.index(field)
    assert not seen[..., at].any()
    assert seen[..., np.arange(len(FIELD_NAMES)) != at].any(axis=(0, 1)).all()


@pytest.mark.parametrize("attention", [1, 3, 6])
def test_attention_bounds_what_an_agent_ever_sees(attention, population, teachers, trade):
    society = population(CAST, attention=attention, momentary_mask=0.3, switching=0.5)
    (tape,) = trade([(society, 1)], teachers)
    ever = shown_fields(tape).any(axis=0)
    assert (ever.sum(axis=1) <= attention).all()
    assert ever.sum(axis=1).max() == attention
    assert np.isin(tape.decisions["view"], possible_views(attention)).all()


def test_without_momentary_masks_an_agent_sees_the_same_fields_every_day(
    population, teachers, trade
):
    (tape,) = trade([(population(CAST, momentary_mask=0.0), 1)], teachers)
    seen = shown_fields(tape)
    assert (seen == seen[0]).all()
    assert (seen[0] != seen[0, 0]).any()


def test_a_momentary_mask_only_takes_away(population, teachers, trade):
    always, sometimes = (
        shown_fields(trade([(population(CAST, momentary_mask=p), 1)], teachers)[0])
        for p in (0.0, 0.5)
    )
    assert not (sometimes & ~always[0]).any()
    assert 0.4 < sometimes.sum() / always.sum() < 0.6


def test_who_sees_nothing_is_asked_about_nothing(population, teachers, trade):
    society = population(CAST, dict.fromkeys(FIELD_NAMES, 1.0))
    (tape,) = trade([(society, 1)], teachers, days=3)
    assert (tape.decisions["view"] == 0).all()


# Orders


def test_without_activity_nobody_orders(population, teachers, trade):
    (tape,) = trade([(population(CAST, activity=0.0), 1)], teachers, days=5)
    assert tape.orders is None or len(tape.orders) == 0
    assert tape.volume.sum() == 0
    assert (tape.close_ticks == START_PRICE_TICKS).all()


def test_without_dispersion_orders_follow_tendencies(population, teachers, trade):
    society = population(CAST, dispersion=0.0, activity=1.0)
    (tape,) = trade([(society, 1)], teachers, days=5)
    decided = tape.decisions.set_index(["day", "agent"])["tendency"]
    orders = tape.orders.set_index(["day", "agent"])
    assert (np.sign(decided[orders.index]) == orders["side"]).all()
    assert len(orders) == (decided != 0).sum()


def test_shares_are_kept_to_within_one_agent_while_nobody_switches(population, teachers, trade):
    society = population(CAST, switching=0.0)
    (tape,) = trade([(society, 1)], teachers, days=3)
    persona = tape.decisions["persona"].to_numpy().reshape(3, 80)
    assert (persona == persona[0]).all()
    share = np.arange(1, 8) / 28
    assert (np.abs(np.bincount(persona[0]) - 80 * share) <= 1).all()


def test_conformity_makes_camps_larger(population, trade):
    society = population(CAST, switching=0.5, conformity=8.0, performance=0.0)
    (tape,) = trade([(society, 1)], RandomMinds(), days=20)
    persona = tape.decisions["persona"].to_numpy().reshape(20, 80)
    largest = [np.bincount(row).max() / 80 for row in persona]
    assert largest[0] <= 0.3
    assert largest[-1] > 0.6


# Choices


class TableMinds:
    """Answer every mind with the same table of logits, float[VIEWS, 5]."""

    def __init__(self, table):
        self.table = np.asarray(table, np.float32)

    def ask(self, mind, views):
        pass

    def answer(self, mind, views):
        return self.table[views]


def probabilities(society, table):
    [cumulative] = tabulate_choices([society], TableMinds(table))
    return np.diff(cumulative, axis=2, prepend=0.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_choices_are_the_softmax_less_what_the_mind_leans_to_on_average(temperature, population):
    table = np.random.default_rng(1).normal([0.5, -0.2, 0.9, 0.1, -1.0], 1.0, (VIEWS, 5))
    seen = table.astype(np.float32)[possible_views(2)].astype(float)
    lean = (seen.mean(axis=0) - seen.mean(axis=0)[::-1]) / 2
    chosen = probabilities(population(CAST, attention=2, temperature=temperature), table)
    assert chosen.shape == (len(CAST), len(seen), 5)
    np.testing.assert_allclose(chosen[3], softmax((seen - lean) / temperature, axis=1), atol=1e-6)


def test_a_mind_that_always_says_the_same_leans_neither_way(population):
    constant = np.tile([0.5, -0.2, 0.9, 0.1, -1.0], (VIEWS, 1))
    chosen = probabilities(population(CAST), constant)
    np.testing.assert_allclose(chosen, chosen[..., ::-1], atol=1e-6)
    np.testing.assert_allclose(chosen[0, 0, 2] / chosen[0, 0, 1], np.exp(0.9 + 0.05), rtol=1e-5)


@pytest.mark.parametrize("even", [0, 1])
def test_extreme_logits_are_certain(even, population):
    """Sell and buy are equally frequent, so that nothing is subtracted."""
    views = possible_views(1)[:22]
    table = np.full((VIEWS, 5), -1e4)
    table[views[::2], even] = table[views[1::2], 4 - even] = 1e4
    chosen = probabilities(population(CAST, attention=1), table)[0, :22]
    certain = np.where(np.arange(22) % 2 == 0, even, 4 - even)
    np.testing.assert_array_equal(chosen.argmax(axis=1), certain)
    assert chosen.max(axis=1).min() == 1


# History


def test_a_history_knows_no_scale(sp500):
    closes = sp500.close[:500]
    ticks = history_ticks(closes)
    assert ticks[-1] == START_PRICE_TICKS
    np.testing.assert_array_equal(history_ticks(1024 * closes), ticks)
    assert np.abs(history_ticks(0.37 * closes) - ticks).max() <= 1
    np.testing.assert_allclose(ticks / ticks[-1], closes / closes[-1], atol=1e-4)


def test_a_history_of_pennies_stays_above_zero():
    assert history_ticks(np.array([1e-9, 1.0])).tolist() == [1, START_PRICE_TICKS]


# Beside others, in several turns


def mixed_exchange(crowd, makers_lots=200):
    """Personas, a market maker and noise traders, in the second of two assets."""
    from evobourse.market.crowds.market_maker import MakerRule, MarketMakers
    from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
    from evobourse.market.exchange import Exchange
    from evobourse.market.instruments import Instrument
    from evobourse.market.session import SessionRules

    accounts = crowd.accounts()
    rule = MakerRule(risk_aversion=1e-5, arrival_decay=0.05, lots=makers_lots, most_lots=4000)
    others = [
        MarketMakers(rule, np.array([10_000]), asset=1),
        NoiseTraders(
            NoiseFlow(market_orders=5.0, window_ticks=60), 10, np.random.default_rng(8), asset=1
        ),
    ]
    rows = sum(other.n_agents for other in others)
    cash = np.concatenate([accounts.cash_cents, np.full(rows, 10**10)])
    shares = np.concatenate([accounts.shares, np.full(rows, 10_000)])
    return Exchange(
        [Instrument("other"), Instrument("ours", fee_bps=5)],
        [np.array([START_PRICE_TICKS]), crowd.history],
        [crowd, *others],
        cash,
        np.stack([np.zeros_like(shares), shares], axis=1),
        np.random.default_rng(5),
        SessionRules(("call", "continuous", "continuous", "call")),
    )


@pytest.fixture
def persona_crowd(population, teachers, offsets, sp500):
    def build(asset=1):
        society = population(CAST)
        [choices] = tabulate_choices([society], teachers)
        rng = np.random.default_rng(1)
        crowd = PersonaCrowd(society, choices, offsets, 80, rng, asset=asset)
        crowd.history = history_ticks(sp500.close[:1000])
        return crowd

    return build


def test_personas_decide_once_a_day_beside_a_market_maker_and_noise(persona_crowd):
    crowd = persona_crowd()
    exchange = mixed_exchange(crowd)
    sent, recorded, traded = [], [], set()
    ask = crowd.orders

    def orders():
        given = ask()
        sent.append(len(given))
        recorded.append(crowd.decisions())
        return given

    crowd.orders = orders
    for _ in range(25):
        exchange.play_day()
        fills = exchange.listings[1].fills_today()
        who = np.array(["personas", "maker", "noise"])
        for agents in zip(fills.buyer, fills.seller, strict=True):
            rows = np.searchsorted([80, 81], agents, side="right")
            traded.add(frozenset(who[rows].tolist()))
        assert exchange.listings[0].bar().volume == 0
    by_turn = np.array(sent).reshape(25, 4)
    assert (by_turn[:, 0] > 0).all()
    assert (by_turn[:, 1:] == 0).all()
    for pair in combinations(["personas", "maker", "noise"], 2):
        assert frozenset(pair) in traded
    names = ["agent", "persona", "view", "tendency"]
    for turn, columns in enumerate(recorded):
        assert list(columns) == names
        assert {len(column) for column in columns.values()} == {0 if turn % 4 else 80}
        assert {column.dtype for column in columns.values()} == {np.dtype(np.int64)}
    assert exchange.ledger.position[:, 1].sum() == crowd.accounts().shares.sum() + 11 * 10_000


def test_the_days_turns_do_not_change_what_personas_draw(persona_crowd, teachers):
    """Where nothing depends on the price, one turn a day and four send the same orders."""
    from evobourse.market.crowd import AssetView, MarketView

    def days(turns):
        crowd, sent = persona_crowd(asset=0), []
        for day in range(5):
            for turn in range(turns):
                asset = AssetView(crowd.history, crowd.history * 0, 0, 0, 10_000, 1, 20_000, 10_000)
                cash = np.zeros(80, np.int64)
                crowd.observe(MarketView(day, turn, "call", (asset,), cash, cash[:, None]))
                given = crowd.orders()
                if turn == 0:
                    assert given.plain
                    sent.append(given)
        return sent

    for one, other in zip(days(1), days(4), strict=True):
        np.testing.assert_array_equal(one.price_ticks, other.price_ticks)
        np.testing.assert_array_equal(one.agent, other.agent)
