"""Casts: the bundle's market where they are the bundle, every mask kept, every base asked."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evobourse.agents.crowds.ordering import usual_lots
from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import RandomMinds, TeacherMinds
from evobourse.agents.observation import FIELD_NAMES, decode_view
from evobourse.agents.personas.persona import Persona
from evobourse.agents.personas.social import Contest, Social
from evobourse.agents.personas.traits import OrderStyle
from evobourse.agents.styles import teach
from evobourse.evolve.bundle import Bundle, Reference, load_bundle, write_bundle
from evobourse.experiments.config.cast import Account, Cast, CastAsset, Member
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.config.orders import OrderSettings, ScenarioOrders
from evobourse.experiments.config.scenario import Beside, Scenario, Size, Terms
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.cast import build_cast, run_cast
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.experiments.sweep.orders import fit_scenario_orders
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.market.book.order_events import Kind, TimeInForce
from evobourse.market.rules import MarketRules
from evobourse.market.tape.recorded import verify_tape

PLAIN = OrderStyle()


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500, style_folders):
    people = population([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], mask={"news": 0.0}, attention=3)
    return SimpleNamespace(
        population=people,
        offsets=offsets,
        rules=MarketRules(fee_bps=5),
        history=history_ticks(sp500.close[:1000]),
        adapters=tuple(style_folders.values()),
        base="main",
        blocks=1,
    )


@pytest.fixture
def teachers():
    return TeacherMinds(("momentum", "value", "contrarian"))


def test_a_cast_of_the_bundles_own_personas_makes_the_bundles_own_market(
    bundle, teachers, tmp_path
):
    common = replace(bundle.population.society, switching=0.0)
    people = replace(
        bundle.population,
        personas=(
            Persona("a", "", ((1.0, 0.0, 0.0),), 1.0, 20.0),
            Persona("b", "", ((0.0, 1.0, 0.0),), 0.5, 40.0),
        ),
        society=common,
    )
    [choices] = tabulate_choices([people], teachers)
    alike = SimpleNamespace(**{**vars(bundle), "population": people})
    scenario = Scenario(turns=("call", "continuous"), beside=Beside(2, 10, 5))
    own = run_scenario(scenario, alike, choices, Size(60, 12, 7), tmp_path / "own")
    cast = Cast(
        (
            Member("a", 20, style="momentum", orders=PLAIN),
            Member("b", 40, style="value", temperature=0.5, orders=PLAIN),
        )
    )
    tape = run_cast(scenario, cast, bundle, teachers, 12, 7, tmp_path / "cast")
    assert tape.manifest.digest == own.manifest.digest


def test_nobody_is_shown_what_it_never_sees(bundle, teachers, tmp_path):
    cast = Cast(
        (
            Member("deaf", 30, style="momentum", never_sees=("news", "trend")),
            Member("reader", 30, style="value", only_sees=("news",)),
            Member("open", 30, style="contrarian"),
        ),
        switching=0.0,
    )
    (tmp_path / "news.yaml").write_text(
        "events:\n- {kind: news, day: 3, text: Fraud., tone: -8.0}\n"
    )
    scenario = Scenario(events=str(tmp_path / "news.yaml"))
    tape = run_cast(scenario, cast, bundle, teachers, 15, 1, tmp_path / "tape")
    decisions = tape.frame("decisions")
    shown = decode_view(decisions["view"].to_numpy()) >= 0
    persona = decisions["persona"].to_numpy()
    seen = {
        p: {f for i, f in enumerate(FIELD_NAMES) if shown[persona == p, i].any()} for p in range(3)
    }
    assert seen[0] == set(FIELD_NAMES) - {"news", "trend"}
    assert seen[1] == {"news"}
    assert seen[2] == set(FIELD_NAMES)
    assert decisions.groupby("persona")["agent"].nunique().tolist() == [30, 30, 30]
    # What is hidden cannot matter: the same market but for the news, and the deaf do the same
    quiet = run_cast(Scenario(), cast, bundle, teachers, 15, 1, tmp_path / "quiet").frame(
        "decisions"
    )
    day = (decisions["day"] == 3).to_numpy()
    changed = day & (decisions["tendency"] != quiet["tendency"]).to_numpy()
    assert not changed[persona == 0].any()
    assert changed[persona == 1].any()


def test_receptivity_temperature_wealth_and_horizon_are_each_members_own(
    bundle, teachers, tmp_path
):
    members = (
        Member("cold", 60, style="momentum", temperature=0.05, horizon_days=1, orders=PLAIN),
        Member("hot", 60, style="momentum", temperature=50.0, wealth=4.0, orders=PLAIN),
        Member("slow", 60, style="momentum", horizon_days=200, receptivity=0.0, orders=PLAIN),
    )
    people = replace(bundle.population.society, momentary_mask=0.0)
    calm = SimpleNamespace(
        **{**vars(bundle), "population": replace(bundle.population, society=people)}
    )
    market = build_cast(Scenario(), Cast(members), calm, teachers, 10, 5)
    crowd = market.investors[0]
    wealth = [crowd.wealth[crowd.persona == p].mean() for p in range(3)]
    assert wealth[1] > 2 * wealth[0]
    tape = run_cast(Scenario(), Cast(members), calm, teachers, 25, 5, tmp_path / "t")
    decisions, orders = tape.frame("decisions"), tape.frame("orders").query("kind == 0")
    expected = teach("momentum", decisions["view"].to_numpy()) - 2
    agrees = (decisions["tendency"] == expected).groupby(decisions["persona"]).mean()
    assert agrees[0] > 0.99
    assert agrees[1] < 0.5
    persona = decisions.query("day == 0").set_index("agent")["persona"]
    sent = orders.groupby(orders["agent"].map(persona)).size()
    assert sent[2] < 0.2 * sent[0]  # a tenth as active


def test_each_member_is_asked_on_its_own_base(bundle, tmp_path):
    asked = set()

    class Seats:
        def minds_on(self, base):
            asked.add(base)
            main = TeacherMinds(("momentum", "value", "contrarian"))
            return {None: main, "other": RandomMinds()}[base]

        def ask(self, mind, views): ...

        def answer(self, mind, views): ...

    cast = Cast(
        (
            Member("here", 50, style="value", temperature=0.05),
            Member("there", 50, style="value", temperature=0.05, base="other"),
            Member("main", 10, style="value", base="main"),
        )
    )
    tape = run_cast(Scenario(), cast, bundle, Seats(), 10, 2, tmp_path / "t")
    assert asked == {None, "other"}
    decisions = tape.frame("decisions")
    expected = teach("value", decisions["view"].to_numpy()) - 2
    agrees = (decisions["tendency"] == expected).groupby(decisions["persona"]).mean()
    assert agrees[0] > 0.99
    assert agrees[1] < 0.4
    assert agrees[2] > agrees[1]


def test_companies_and_industries_quote_beside_investors_and_rules(bundle, style_engine, tmp_path):
    cast = Cast(
        (
            Member("savers", 20, style="value", only_sees=("value",)),
            Member("chasers", 20, style="momentum", asset="ibm", only_sees=("trend",)),
            Member("corp", kind="company", style="value"),
            Member("branch", kind="industry", style="contrarian"),
            Member("makers", 2, "rule", rule="market-makers"),
            Member("flow", 10, "rule", rule="noise-traders", asset="ibm"),
            Member("weighers", 10, "rule", rule="forecasters", wealth=2.0),
        ),
        assets=(CastAsset("stock"), CastAsset("ibm", "ibm", "2006-12-29")),
    )
    small = replace(bundle.population.society, attention=1)
    quick = SimpleNamespace(
        **{**vars(bundle), "population": replace(bundle.population, society=small)}
    )
    scenario = Scenario(turns=("call", "continuous"))
    first, second = (
        run_cast(scenario, cast, quick, style_engine, 3, 3, tmp_path / name) for name in "ab"
    )
    assert first.manifest.digest == second.manifest.digest == verify_tape(tmp_path / "a")
    market = build_cast(scenario, cast, quick, style_engine, 3, 3)
    assert market.personas == ("savers", "chasers", "corp", "branch")
    owner = np.array(market.members)
    orders = first.frame("orders").query("kind <= 3")
    traded = {name: set(orders.asset[owner[orders.agent] == name]) for name in set(owner)}
    assert traded == {
        "savers": {0},
        "chasers": {1},
        "corp": {0},
        "branch": {0, 1},
        "makers": {0},
        "flow": {1},
        "weighers": {0},
    }
    total = market.exchange.ledger.position.sum(axis=0)
    market.exchange.run(3)
    np.testing.assert_array_equal(market.exchange.ledger.position.sum(axis=0), total)
    assert set(first.frame("decisions")["persona"]) == {0, 1, 2, 3}


def test_a_stand_in_cannot_speak_for_a_company(bundle, teachers, tmp_path):
    cast = Cast((Member("a", 5, style="value"), Member("corp", kind="company")))
    with pytest.raises(
        AgentError, match="speaks for assets, and base the bundle's takes no prompts"
    ):
        run_cast(Scenario(), cast, bundle, teachers, 2, 1, tmp_path / "t")


def test_a_cast_holds_a_contest(bundle, teachers, tmp_path):
    cast = Cast((Member("a", 20, style="value"), Member("b", 20, style="momentum")))
    scenario = Scenario(society=Social(contest=Contest(every=5, winners=1)))
    tape = run_cast(scenario, cast, bundle, teachers, 10, 1, tmp_path / "t")
    assert (tmp_path / "t" / "contest.json").exists()
    accounts = tape.frame("accounts")
    pools = tape.frame("pools").iloc[-1]
    held = accounts[accounts.day == 9].cash_cents.sum() + pools[["fees_cents", "taxes_cents"]].sum()
    begun = build_cast(scenario, cast, bundle, teachers, 10, 1).exchange.ledger.cash_cents.sum()
    assert held == begun
    assert pools["granted_cents"] == 0


# Orders by regime in an exchange


def test_orders_live_for_days_and_fill_late_and_nobody_has_two(bundle, teachers, tmp_path):
    [choices] = tabulate_choices([bundle.population], teachers)
    scenario = Scenario(
        orders=ScenarioOrders(regimes=2, by_style=True), turns=("call", "continuous")
    )
    tape = run_scenario(scenario, bundle, choices, Size(150, 40, 2), tmp_path / "a")
    again = run_scenario(scenario, bundle, choices, Size(150, 40, 2), tmp_path / "b")
    assert tape.manifest.digest == again.manifest.digest == verify_tape(tmp_path / "a")
    orders, fills = tape.frame("orders"), tape.frame("fills")
    entered = orders[orders.kind.isin([Kind.LIMIT, Kind.REPLACE])].set_index("number")
    lives = (entered.expires // 2 - entered.day)[
        entered.time_in_force == TimeInForce.GOOD_TILL_TIME
    ]
    assert lives.between(2, 10).all()
    assert lives.nunique() > 4
    for side in ("buy", "sell"):
        waited = fills["day"].to_numpy() - entered.loc[fills[side], "day"].to_numpy()
        assert (waited >= 0).all()
        assert (waited > 0).any()
    assert (orders.reason != 3).all()  # nobody names an order that is gone
    shares = [r.position.sum() for _, r in tape.frame("holdings").groupby("day")]
    assert len(set(shares)) == 1


def test_by_style_and_tendency_shift_the_draw(bundle, teachers, tmp_path):
    [choices] = tabulate_choices([bundle.population], teachers)
    reach = {}
    for by_style in (False, True):
        orders = ScenarioOrders(regimes=2, by_style=by_style)
        name = str(by_style)
        tape = run_scenario(
            Scenario(orders=orders), bundle, choices, Size(2000, 1, 2), tmp_path / name
        )
        decisions = tape.frame("decisions").set_index("agent")
        sent = tape.frame("orders").query("kind == 0").set_index("agent")
        joined = sent[["price_ticks"]].join(decisions[["tendency", "persona"]])
        joined["offset"] = np.log(joined.price_ticks / bundle.history[-1])
        reach[by_style] = joined.groupby("tendency")["offset"].mean(), joined
        assert reach[by_style][0].is_monotonic_increasing
    both = reach[False][1].join(reach[True][1][["offset"]].add_suffix("_styled"), how="inner")
    wider = (both.offset_styled - both.offset) * np.sign(both.tendency)
    wider = wider[both.tendency != 0].groupby(both.persona).mean()
    assert wider[0] > 0 > wider[1]  # momentum pays up, value waits


def test_a_bundle_brings_its_regimes_and_traits(bundle, style_folders, tmp_path):
    fitted = fit_scenario_orders(ScenarioOrders(regimes=2))
    member = Member("a", 3, style="value", never_sees=("news",), receptivity=0.5)
    persona = member.persona([*style_folders], 1, "base")
    people = replace(bundle.population, personas=(persona,))
    made = Bundle(
        "b", "base", "0" * 64, 1, None, tuple(style_folders.values()), (), people, fitted,
        MarketRules(), np.arange(1, 300), Reference(1, 1, 1, ""),
    )  # fmt: skip
    write_bundle(tmp_path / "bundle", made, 30, [], "card")
    read = load_bundle(tmp_path / "bundle")
    assert read.offsets == fitted
    assert read.population == people


def test_a_sweep_may_draw_orders_by_regime():
    quickstart = Path("experiments/quickstart.yaml")
    config = load_config(quickstart, ["orders={regimes: 2, mixture: kmeans}"])
    assert config.orders == OrderSettings(2, "kmeans")
    offsets = build_experiment(config).windows.world.offsets
    assert offsets.longest_days == 1
    assert len(offsets.mixtures) == 2
    with pytest.raises(ConfigError, match=r"society.contest.replaced is 1, which needs minds"):
        load_config(quickstart, ["society={contest: {every: 5}}"])


def test_an_unknown_style_and_series_are_refused(bundle, teachers, tmp_path):
    with pytest.raises(
        ConfigError, match="'a' has style 'vlaue', the bundle's are momentum, value"
    ):
        run_cast(Scenario(), Cast((Member("a", style="vlaue"),)), bundle, teachers, 1, 1, tmp_path)
    few = Cast((Member("a"),), assets=(CastAsset("x", "ibm", "2000-03-01"),))
    with pytest.raises(ConfigError, match="expected at least 252"):
        run_cast(Scenario(), few, bundle, teachers, 1, 1, tmp_path)


# Accounts

METAL = CastAsset("metal", terms=Terms(kind="future", tick_cents=50, lot_units=6))
SHORT = Member("short", style="value", account=Account(2_000_000_000, -300))
LONGS = Member("longs", 3, style="momentum", account=Account(1_500_000_000, 100))


def test_accounts_are_what_the_market_begins_with(bundle):
    cast = Cast((SHORT, LONGS), assets=(METAL,))
    market = build_cast(Scenario(("call",) * 2), cast, bundle, RandomMinds(), 5, 1)
    ledger = market.exchange.ledger
    held = dict(zip(market.members, ledger.position[:, 0].tolist(), strict=True))
    assert held == {"short": -300, "longs": 100}
    assert sorted(ledger.cash_cents.tolist()) == [1_500_000_000] * 3 + [2_000_000_000]
    worth = ledger.cash_cents.sum()
    market.exchange.run(5)
    assert ledger.position[:, 0].sum() == 0
    assert ledger.cash_cents.sum() + ledger.pools.total_cents == worth


def test_an_ordinary_order_is_a_fiftieth_of_what_an_account_can_bear(bundle):
    richer = replace(LONGS, account=Account(15_000_000_000, 100))
    for longs, times in ((LONGS, 1), (richer, 10)):
        cast = Cast((SHORT, longs), assets=(METAL,))
        market = build_cast(Scenario(), cast, bundle, RandomMinds(), 1, 1)
        crowd = market.investors[0]
        margin = int(bundle.history[-1]) * 300 * 0.15  # of a lot, in cents
        expected = [20.0 if name == "short" else 15.0 * times for name in market.members]
        lots = usual_lots(crowd.wealth)
        np.testing.assert_allclose(lots, 0.02 * 1e8 * np.array(expected) / margin)
    equity = Cast((Member("a", account=Account(int(bundle.history[-1]) * 500, 700)),))
    crowd = build_cast(Scenario(), equity, bundle, RandomMinds(), 1, 1).investors[0]
    np.testing.assert_allclose(usual_lots(crowd.wealth), 0.02 * 600)


def test_who_has_no_account_keeps_what_its_wealth_draws(bundle):
    plain = Member("plain", 4, style="value")
    before = build_cast(Scenario(), Cast((plain, plain_twin())), bundle, RandomMinds(), 1, 1)
    one = replace(plain_twin(), account=Account(7, 5))
    after = build_cast(Scenario(), Cast((plain, one)), bundle, RandomMinds(), 1, 1)
    own = np.array(before.members) == "plain"
    for name in ("cash_cents", "position"):
        held = [getattr(market.exchange.ledger, name)[own] for market in (before, after)]
        np.testing.assert_array_equal(*held)
    assert after.exchange.ledger.cash_cents[~own].tolist() == [7]


def plain_twin():
    return Member("other", 1, style="value")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((SHORT,), "hold -300 lots of 'metal' together, expected 0"),
        ((replace(SHORT, count=2), LONGS), "hold -300 lots of 'metal' together"),
    ],
)
def test_longs_without_shorts_are_refused(members, said, bundle):
    with pytest.raises(ConfigError, match=said):
        build_cast(Scenario(), Cast(members, assets=(METAL,)), bundle, RandomMinds(), 1, 1)


def test_an_equity_is_not_begun_with_short(bundle):
    with pytest.raises(ConfigError, match=r"'short' has account\.lots -300 of 'stock', expected 0"):
        build_cast(Scenario(), Cast((SHORT,)), bundle, RandomMinds(), 1, 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "company"}, "account and kind company are both set"),
        ({"kind": "rule", "rule": "noise-traders", "style": None}, "account and kind rule are"),
        ({"wealth": 2.0}, "account and wealth 2 are both set"),
    ],
)
def test_an_account_is_an_investors_in_the_place_of_a_wealth(changed, said):
    with pytest.raises(ConfigError, match=said):
        replace(SHORT, **changed)
