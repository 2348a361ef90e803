"""Every pair of what a scenario can ask for, and all together: it runs, or one line names both."""

import json
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.observation import FIELD_NAMES, decode_view
from evobourse.experiments.config.cast import read_cast
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.config.sections import read_section
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.cast import build_cast, run_cast
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.experiments.simulate.thinkers import open_thinker
from evobourse.market.rules import MarketRules
from evobourse.market.tape.recorded import verify_tape

SHORT = {
    **{f"{kind}_tokens": 2 for kind in ("reason", "advice", "revision", "reflection", "post")},
    "memory": {"recall_tokens": 60, "working_tokens": 60},
}
FEATURES = {
    "cast": {},
    "deliberation": {"deliberation": SHORT},
    "named_numbers": {"named_numbers": True},
    "future": {"stock": {"kind": "future", "lot_units": 5}},
    "shock": {},
    "news": {},
    "social": {"society": {}},
    "contest": {"society": {"contest": {"every": 1, "by": "profit", "replaced": 0}}},
    "orders": {"orders": {"regimes": 2, "components": 2}},
    "beside": {"beside": {"market_makers": 2, "noise_traders": 10, "forecasters": 5}},
}
REFUSED = {
    frozenset({"contest", "future"}): "society.contest and kind: future of stock are both set",
}
EVENTS = "events:\n- {kind: news, day: 1, text: The mine is flooded., tone: 2.0}\n"
NEWS = "date,text\n2001-09-17,The exchange opens.\n2001-09-18,A port closes.\n2001-09-18,Rain.\n"
NEWS_FIELD = FIELD_NAMES.index("news")
MEMBERS = [
    {"name": "savers", "count": 5, "style": "value"},
    {"name": "chasers", "count": 5, "mixture": {"momentum": 0.7, "contrarian": 0.3}},
    {"name": "makers", "count": 2, "kind": "rule", "rule": "market-makers"},
]
COMPANY = {"name": "corp", "kind": "company", "style": "value"}
PAIRS = [
    pair
    for pair in combinations(FEATURES, 2)
    if set(pair) != {"social", "contest"}  # one is part of the other
]


@pytest.fixture(scope="module")
def engine(fresh_engine):
    """Three layers of the real model: fast, and no worse at being asked."""
    from evobourse.merge.engine.decoder import Parts

    engine = fresh_engine()
    own = engine.decoder.parts
    engine.decoder.run_on(Parts(own.embedding, own.slots[27:], own.norm, own.head))
    return engine


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500, style_folders):
    people = population([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], mask={"news": 0.5}, attention=1)
    return SimpleNamespace(
        population=people,
        offsets=offsets,
        rules=MarketRules(fee_bps=5),
        history=history_ticks(sp500.close[:1000]),
        adapters=tuple(style_folders.values()),
        base="main",
        blocks=1,
        persona_bases={},
    )


@pytest.fixture
def play(bundle, engine, tmp_path):
    """Run two days of a market that has some features; return its tape."""

    def run(*features, members=MEMBERS, assets=None, corp=True, events=None, **deliberation):
        raw = {"turns": ["call", "continuous"]}
        for feature in features:
            raw |= FEATURES[feature]
        if deliberation:
            raw["deliberation"] = {**raw["deliberation"], **deliberation}
        if events:
            (tmp_path / "events.yaml").write_text(json.dumps({"events": events}))
            raw["events"] = str(tmp_path / "events.yaml")
        if "shock" in features:
            (tmp_path / "events.yaml").write_text(EVENTS)
            raw["events"] = str(tmp_path / "events.yaml")
        if "news" in features:
            (tmp_path / "news.csv").write_text(NEWS)
            raw["news"] = {"file": str(tmp_path / "news.csv"), "tone": "minds"}
        scenario = read_section(Scenario, raw, "scenario")
        if "cast" in features:
            both = [*members, COMPANY] if corp and "future" not in features else [*members]
            cast = read_cast({"members": both, **({"assets": assets} if assets else {})}, "cast")
            tape = run_cast(scenario, cast, bundle, engine, 2, 3, tmp_path / "tape")
        elif scenario.deliberation is not None:
            thinker = open_thinker(scenario.deliberation, bundle, engine)
            size, out = Size(10, 2, 3), tmp_path / "tape"
            tape = run_scenario(scenario, bundle, thinker, size, out, minds=engine)
        else:
            [choices] = tabulate_choices([bundle.population], engine)
            size = Size(10, 2, 3)
            tape = run_scenario(scenario, bundle, choices, size, tmp_path / "tape", minds=engine)
        assert verify_tape(tmp_path / "tape") == tape.manifest.digest
        return tape

    return run


def assert_features_show(tape, features):
    """Each feature has left its mark on the tape."""
    decisions, prices = tape.frame("decisions"), tape.frame("prices")
    kinds = set(tape.frame("texts")["kind"]) if "deliberation" in features else set()
    assert ("reflection" in kinds) == ("deliberation" in features)
    assert ("order" in kinds) == ({"deliberation", "named_numbers"} <= set(features))
    assert ("lean" in decisions) == ("deliberation" in features)
    assert ("malformed" in decisions) == ("named_numbers" in features)
    happened = tape.frame("events")
    assert len(happened) == ("shock" in features) + 3 * ("news" in features)
    if "news" in features:
        tones = [json.loads(d)["tone"] for d in happened.query("kind == 'news'")["detail"]]
        assert len(set(tones)) == len(tones)
    assert ("mood" in decisions) == bool({"social", "contest"} & set(features))
    future = tape.manifest.instruments[0]["kind"] == "future"
    assert future == ("future" in features)
    if future:  # positions arose from trades, one long for one short
        bought = tape.frame("fills")["quantity"].sum()
        assert prices["open_interest"].max() <= bought


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_every_pair_runs_or_is_refused_in_one_line_that_names_both(pair, play):
    refused = REFUSED.get(frozenset(pair))
    if refused:
        with pytest.raises(ConfigError, match=refused) as caught:
            play(*pair)
        assert "\n" not in str(caught.value)
    else:
        assert_features_show(play(*pair), pair)


@pytest.mark.slow
@pytest.mark.parametrize(
    "features",
    [
        ("cast", "deliberation", "named_numbers", "shock", "news", "contest", "orders", "beside"),
        ("cast", "named_numbers", "future", "shock", "social", "orders", "beside"),
        ("cast", "deliberation", "named_numbers", "future", "shock", "social", "orders", "beside"),
    ],
    ids=["deliberate", "futures", "deliberate-futures"],
)
def test_all_that_goes_together_goes_together(features, play):
    assert_features_show(play(*features), features)


@pytest.mark.slow
def test_named_numbers_of_those_who_deliberate_are_what_the_market_got(play):
    tape = play("deliberation", "named_numbers")
    decisions = tape.frame("decisions").set_index(["day", "turn", "agent"])
    good = decisions[decisions["lots"].notna()]
    sent = tape.frame("orders").query("kind == 0").set_index(["day", "turn", "agent"])
    texts = tape.frame("texts").query("kind == 'order'")
    asked = decisions["malformed"].sum() + len(good)
    assert len(texts) == asked > 0
    assert len(sent) == len(good)
    np.testing.assert_array_equal(sent["quantity"].sort_index(), good["lots"].sort_index())


@pytest.mark.slow
def test_who_deliberates_and_sees_news_reads_that_of_its_day(play):
    readers = {"name": "readers", "count": 10, "only_sees": ["news"]}
    tape = play("cast", "deliberation", "news", members=[readers], corp=False)
    pages = tape.frame("texts").query("kind == 'page' and turn == 0")
    views = tape.frame("decisions").query("turn == 0").set_index(["day", "agent"])["view"]
    said = {0: "News: The exchange opens.", 1: "News: A port closes.\nNews: Rain."}
    for day, sentences in said.items():
        own = pages[pages["day"] == day].groupby("agent")["text"].agg("first")
        sees = {agent for agent in own.index if decode_view(views[day, agent])[NEWS_FIELD] >= 0}
        assert sees
        for agent, text in own.items():
            assert (f"{sentences}\nRound" in text or f"{sentences}\nToday" in text) == (
                agent in sees
            )


@pytest.mark.slow
def test_who_deliberates_reads_its_own_account_in_a_future(play):
    short = {"name": "short", "background": "A mine that sold ahead.", "orders": {"size": 0.1},
             "account": {"cash_cents": 800_000, "lots": -100}}  # fmt: skip
    longs = {"name": "longs", "count": 4, "style": "value",
             "account": {"cash_cents": 9_000_000, "lots": 25}}  # fmt: skip
    rise = {"kind": "settle_at", "day": 0, "asset": "stock", "factor": 1.05}
    tape = play("cast", "deliberation", "future", members=[short, longs], corp=False,
                events=[rise], profiles=True)  # fmt: skip
    [agent] = tape.frame("orders").query("kind == 1")["agent"].unique()  # forced, at the market
    pages = tape.frame("texts").query("kind == 'page'")
    own = pages[pages["agent"] == agent].groupby("day")["text"].agg(list)
    assert own[0][0].startswith("Who you are: A mine that sold ahead.")
    assert "You are short 100 lots, worth 6" in own[0][0]
    assert "You are called for margin" not in "".join(own[0][:-1])
    assert all("You are called for margin" in text for text in own[1][:-1])
    others = pages[pages["agent"] != agent]["text"]
    assert not others.str.contains("called for margin|who sold ahead").any()
    fills, prices = tape.frame("fills"), tape.frame("prices").set_index("day")
    checked = 0
    for (day, turn, buyer), own in fills.groupby(["day", "turn", "buyer"]):
        if turn == 1 or buyer in own["seller"].to_numpy():
            continue  # a note is read in the turn after
        whole = fills.query(f"day == {day} and turn == {turn} and seller == {buyer}")
        if len(whole):
            continue
        paid = (own["price_ticks"] * own["quantity"]).sum() / own["quantity"].sum()
        distance = 100 * (paid / prices.loc[day, "reference_ticks"] - 1)
        noted = f"You bought {own['quantity'].sum()} lot"
        read = pages.query(f"day == {day} and turn == 1 and agent == {buyer}")["text"].iloc[0]
        assert noted in read
        told = float(read.split(noted)[1].split(" at ")[1].split("%")[0])
        assert told == pytest.approx(abs(distance), abs=0.11)  # and the fee
        checked += 1
    assert checked


# Without a model


class Dice:
    """Minds without an answer of their own."""

    def ask(self, mind, views):
        pass

    def answer(self, mind, views):
        return np.zeros((len(views), 5), np.float32)


def test_a_future_in_a_cast_beside_an_equity_conserves_both(bundle):
    members = [
        {"name": "owners", "count": 20, "style": "value"},
        {"name": "speculators", "count": 20, "style": "momentum", "asset": "metal"},
        {"name": "hedgers", "count": 20, "style": "value", "asset": "metal"},
        {"name": "makers", "count": 2, "kind": "rule", "rule": "market-makers", "asset": "metal"},
    ]
    terms = {"kind": "future", "lot_units": 6, "initial_margin_bps": 2_000}
    cast = read_cast({"members": members, "assets": [{"name": "stock"}, {"name": "metal",
                      "terms": terms}]}, "cast")  # fmt: skip
    market = build_cast(Scenario(turns=("call", "continuous")), cast, bundle, Dice(), 15, 1)
    metal = market.exchange.ledger.instruments[1]
    assert (metal.kind, metal.lot_units, metal.initial_margin_bps) == ("future", 6, 2_000)
    ledger = market.exchange.ledger
    shares = ledger.position[:, 0].sum()
    assert not ledger.position[:, 1].any()
    market.exchange.run(15)
    assert ledger.position[:, 0].sum() == shares
    assert ledger.position[:, 1].sum() == 0
    assert (ledger.position[:, 1] < 0).any()
    assert not ledger.position[:20, 1].any()


@pytest.mark.parametrize(
    ("scenario", "members", "said"),
    [
        ({"stock": {"kind": "future"}}, [COMPANY], "'corp' is a company that speaks for 'stock'"),
        ({"named_numbers": True}, [{"name": "a", "base": "other"}], "base 'other', and named_num"),
        ({"deliberation": SHORT}, [{"name": "a", "base": "other"}], "'other', and deliberation"),
        (
            {"deliberation": {**SHORT, "personas": {"nobody": {"receptivity": 1.0}}}},
            [{"name": "a"}],
            "deliberation.personas: 'nobody' is no investor of the cast, expected of a",
        ),
        (
            {"deliberation": SHORT, "society": {"contest": {"every": 1, "replaced": 1}}},
            [{"name": "a"}],
            "deliberation and society.contest are both set",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_model_is_asked(
    scenario, members, said, bundle
):
    with pytest.raises(ConfigError, match=said):
        build_cast(
            read_section(Scenario, scenario, "scenario"),
            read_cast({"members": members}, "cast"),
            bundle,
            Dice(),
            2,
            1,
        )


def test_a_future_of_a_cast_and_a_contest_are_refused_by_name(bundle):
    cast = read_cast(
        {"members": [{"name": "a"}], "assets": [{"name": "tin", "terms": {"kind": "future"}}]},
        "cast",
    )
    contest = {"contest": {"every": 1, "by": "profit", "replaced": 0}}
    scenario = read_section(Scenario, {"society": contest}, "scenario")
    with pytest.raises(ConfigError, match=r"society\.contest and kind: future of asset 'tin' are"):
        build_cast(scenario, cast, bundle, Dice(), 2, 1)
