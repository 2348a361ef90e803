"""Sessions: what is done is on disk, replays to the same bytes, and can be taken back."""

import errno
import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.experiments.config.scenario import Size, load_scenario
from evobourse.experiments.desk.log import SessionLog
from evobourse.experiments.desk.session import Cast, Session
from evobourse.experiments.desk.settings import (
    PERSON_LOTS,
    begin_settings,
    desk_cast,
    desk_scenario,
)
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.branch import MOST_SNAPSHOTS, same_state
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.experiments.simulate.write_cast import save_market
from evobourse.market.errors import MarketError

EVERYTHING = """
turns: [call, continuous, continuous, call]
stock: {price_limit: 0.15, fee_bps: 2}
beside: {market_makers: 3, noise_traders: 20, forecasters: 10, person_lots: 500}
society: {acquaintances: 10}
events: own.yaml
"""
OWN = """
events:
- {kind: news, day: 2, text: A large order., tone: 2.0}
- {kind: rumour, day: 4, agents: {share: 0.3}, text: A hole., tone: -3.0}
- {kind: news, day: 25, text: There is no hole., tone: 1.0}
"""


def play(session, days):
    for _ in range(days):
        while not session.play_turn():
            pass


def bars(session):
    return [row.bar for row in session.branch.watch.rows]


@pytest.fixture
def everything(desk, tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    return lambda **options: desk(EVERYTHING, **options)


def do_things(session):
    """News, a rumour, orders of the person, a halt, terms, a settlement, over 12 days."""
    play(session, 3)
    session.happen({"kind": "news", "text": "Good.", "tone": 2.5})
    session.happen({"kind": "rumour", "text": "Bad.", "tone": -3.0, "agents": {"persona": "p0"}})
    session.happen({"kind": "order", "line": "buy 40 market"})
    play(session, 2)
    session.play_turn()
    session.happen({"kind": "order", "line": "sell 10 market"})
    session.happen({"kind": "halt", "turn": 3})
    session.happen({"kind": "change_terms", "day": 6, "price_limit": 0.05})
    play(session, 1)
    session.happen({"kind": "resume"})
    session.happen({"kind": "settle_at", "factor": 0.97})
    play(session, 6)


def test_a_session_replays_to_the_same_bytes(everything, cast, tmp_path):
    session = everything()
    do_things(session)
    found = session.replay()
    assert found["same"]
    assert found["days"] == 12
    # and as `evobourse simulate` plays the file
    scenario = load_scenario(tmp_path / "session" / "main.yaml")
    tape = run_scenario(scenario, cast.bundle, cast.choices, Size(40, 12, 3), tmp_path / "tape")
    assert tape.manifest.digest == found["digest"]
    prices = tape.frame("prices")
    np.testing.assert_array_equal(prices["close_ticks"], [bar[3] for bar in bars(session)])
    kinds = tape.frame("events")["kind"].tolist()
    assert sorted(set(kinds)) == [
        "change_terms", "halt", "news", "order", "resume", "rumour", "settle_at",
    ]  # fmt: skip
    you = tape.frame("fills").query("buyer == 73 or seller == 73")
    assert you["quantity"].sum() >= 40


def test_a_changed_session_does_not_replay(everything, tmp_path):
    session = everything()
    do_things(session)
    file = tmp_path / "session" / "main_events.yaml"
    file.write_text(file.read_text().replace("tone: 2.5", "tone: -2.5"))
    assert not session.replay()["same"]


def test_rewound_days_come_again_and_a_branch_is_equal_until_it_leaves(everything):
    session = everything()
    do_things(session)
    play(session, 20)
    before = bars(session)
    state = session.branch.exchange
    for day in (30, 17, 5, 0):
        session.rewind(day)
        assert bars(session) == before[:day]
        play(session, 32 - day)
        assert bars(session) == before
        assert same_state(state, session.branch.exchange)
    session.fork(5)
    assert session.branch.parent == ("main", 5)
    play(session, 27)
    assert bars(session)[:5] == before[:5]
    assert bars(session)[5:] != before[5:]
    assert session.replay()["same"]
    session.show("main")
    assert bars(session) == before
    assert session.replay()["same"]


def test_what_happens_after_a_rewind_changes_the_days_after_it_alone(desk):
    session = desk()
    play(session, 20)
    before = bars(session)
    session.rewind(12)
    session.happen({"kind": "news", "text": "A fraud.", "tone": -8.0})
    play(session, 8)
    assert bars(session)[:12] == before[:12]
    assert bars(session)[12][3] < before[12][3]
    assert session.replay()["same"]


def test_a_session_that_was_cut_off_goes_on_where_it_was(everything, desk, tmp_path):
    session = everything()
    do_things(session)
    session.fork(7, "other")
    play(session, 3)
    session.play_turn()
    closes, state = bars(session), session.branch.exchange
    # a kill: the log is there, and perhaps half a line
    desk.leave()
    log = tmp_path / "session" / "session.jsonl"
    log.write_bytes(log.read_bytes() + b'{"do": "happen", "bra')
    again = everything()
    assert again.shown == "other"
    assert (again.branch.day, again.branch.turn) == (10, 1)
    assert bars(again) == closes
    assert same_state(state, again.branch.exchange)
    assert log.read_bytes().endswith(b"}\n")
    again.show("main")
    assert again.branch.day == 12
    assert again.replay()["same"]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"kind": "nws", "text": "x"}, "unknown kind 'nws'; did you mean 'news'"),
        ({"kind": "news"}, "news lacks text"),
        ({"kind": "news", "text": "x", "tone": "high"}, "news.tone is 'high', expected a number"),
        ({"kind": "news", "text": "x", "tonne": 1.0}, "no key 'tonne'; did you mean 'tone'"),
        ({"kind": "news", "text": "x", "day": 1}, "this moment is past"),
        ({"kind": "news", "text": "x", "day": 60}, "day 60: the session's last is 59"),
        ({"kind": "news", "text": "x", "day": "soon"}, "news.day is 'soon'"),
        ({"kind": "news", "text": "x", "turn": 4}, "the exchange's turns are 0 to 0"),
        ({"kind": "order", "line": "buy all"}, "cannot read 'buy all'"),
        ({"kind": "halt", "asset": "gold"}, "no asset 'gold'"),
        ({"kind": "settle_at"}, "expected one of the two"),
        ({"kind": "change_terms", "price_limit": 2.0}, "price_limit is 2.0, expected 0 to 1"),
        ({"kind": "rumour", "text": "x", "agents": {"persona": "p9"}}, "'p9' is none of"),
        ({"kind": "rumour", "text": "x", "agents": {"share": 0}}, "agents.share is 0"),
        ({"kind": "rumour", "text": "x", "agents": [99]}, "agents.rows has 99, expected 0 to 40"),
        ({"kind": "rumour", "text": "x", "agents": {"persons": 1}}, "unknown key 'persons'"),
    ],
)
def test_a_bad_intervention_is_refused_in_one_line_and_nothing_is_lost(
    desk, tmp_path, entry, complaint
):
    session = desk()
    play(session, 3)
    session.happen({"kind": "news", "text": "kept", "day": 5})
    log = (tmp_path / "session" / "session.jsonl").read_text()
    with pytest.raises((ConfigError, MarketError), match=complaint):
        session.happen(entry)
    assert (tmp_path / "session" / "session.jsonl").read_text() == log
    assert [event.text for event in session.branch.to_come] == ["kept"]
    play(session, 5)
    assert session.replay()["same"]


def test_what_has_not_happened_can_be_called_off(desk):
    plain, session = desk(folder="plain"), desk()
    play(plain, 10)
    for text in ("first", "second"):
        session.happen({"kind": "news", "text": text, "tone": -5.0, "day": 6})
    play(session, 4)
    session.call_off(0)
    session.call_off(0)
    with pytest.raises(ConfigError, match="nothing to come"):
        session.call_off(0)
    play(session, 6)
    assert bars(session) == bars(plain)
    assert session.replay()["same"]


def test_a_person_trades_from_an_account_of_its_own(desk):
    session = desk()
    session.happen({"kind": "order", "line": "buy 100 market"})
    row = session.branch.exchange.n_agents - 1
    before = session.branch.exchange.ledger.position[row, 0]
    assert before == PERSON_LOTS
    play(session, 1)
    person = session.branch.exchange.floor.crowds[-1]
    gained = session.branch.exchange.ledger.position[row, 0] - before
    assert 0 < gained <= 100
    assert f"market 0: {gained} of 100 lots" in " ".join(person.told).replace("market -1", "") or (
        any(f"{gained} of 100 lots" in line for line in person.told)
    )
    assert session.branch.watch.rows[0].got[-1] == gained


def test_memory_is_flat_over_many_days(desk):
    session = desk(days=700, agents=10)
    play(session, 700)
    assert len(session.branch._snapshots) <= MOST_SNAPSHOTS
    before = bars(session)
    session.rewind(333)
    play(session, 40)
    assert bars(session) == before[:373]
    with pytest.raises(ConfigError, match="days are over"):
        session.rewind(333) or play(session, 700)


def test_a_killed_session_loses_at_most_the_turn(everything, desk, tmp_path):
    whole = everything(folder="whole")
    do_things(whole)
    play(whole, 12)
    log = tmp_path / "session" / "session.jsonl"
    child = os.fork()
    if child == 0:  # plays until it is killed
        try:
            session = everything()
            do_things(session)
            play(session, 40)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 120
    while not log.exists() or log.read_bytes().count(b'"play"') < 55:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    played = [json.loads(line) for line in log.read_text().splitlines() if '"play"' in line][-1]
    session = everything()
    assert (session.branch.day, session.branch.turn) == (played["day"], played["turn"])
    assert session.branch.day >= 13
    play(session, 24 - session.branch.day)
    assert bars(session) == bars(whole)
    assert same_state(session.branch.exchange, whole.branch.exchange)


def test_a_full_disk_refuses_in_one_line_and_loses_nothing(desk, tmp_path, monkeypatch):
    session = desk()
    play(session, 2)
    log = tmp_path / "session" / "session.jsonl"
    before = log.read_bytes()

    def fill(descriptor, data):
        os.write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("evobourse.experiments.desk.log.write_all", fill)
        with pytest.raises(ConfigError, match="No space left"):
            session.happen({"kind": "news", "text": "x"})
    assert log.read_bytes() == before
    assert session.branch.happened == []
    session.happen({"kind": "news", "text": "x"})
    play(session, 2)
    assert session.replay()["same"]


def test_what_cannot_happen_is_taken_back_and_the_day_begins_again(everything):
    session, plain = everything(), everything(folder="plain")
    for one in (session, plain):
        play(one, 3)
    session.happen({"kind": "windfall", "agents": [0], "cash_cents": -(10**12), "turn": 2})
    session.play_turn()
    session.play_turn()
    with pytest.raises(ConfigError, match="it is taken back, and day 3 begins again"):
        session.play_turn()
    assert (session.branch.day, session.branch.turn) == (3, 0)
    for one in (session, plain):
        play(one, 3)
    assert bars(session) == bars(plain)
    assert session.replay()["same"]


def test_two_desks_do_not_share_a_session(desk):
    desk()
    with pytest.raises(ConfigError, match="another desk has it"):
        desk()


def test_an_old_session_is_held_to_its_settings(desk):
    desk()
    desk.leave()
    with pytest.raises(ConfigError, match="agents is 40 there, received 50"):
        desk(agents=50)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nonsense", "damaged"),
        (json.dumps({"do": "fly"}), "'fly' is nothing that a desk does"),
        (json.dumps({"do": "play", "branch": "none"}), "is damaged"),
    ],
)
def test_a_damaged_log_is_refused_in_one_line(desk, tmp_path, line, complaint):
    desk()
    desk.leave()
    log = tmp_path / "session" / "session.jsonl"
    log.write_text(log.read_text() + line + "\n")
    with pytest.raises(ConfigError, match=complaint):
        desk()


@pytest.mark.parametrize("name", ["Main", "../up", "main", "", "x" * 30])
def test_a_branch_needs_a_name_of_its_own(desk, name):
    session = desk()
    with pytest.raises(ConfigError, match="expected a new name"):
        session.fork(0, name)


def test_days_that_have_not_come_are_refused(desk):
    session = desk()
    play(session, 2)
    for go in (session.rewind, session.fork):
        for day in (3, -1):
            with pytest.raises(ConfigError, match="has not come yet; name one from 0 to 2"):
                go(day)
    assert list(session.branches) == ["main"]


WORDS = (
    "twelve momentum traders, eight news-driven investors, two market makers, ten noise traders, "
    "five noise traders, margin 10 %, 3 turns a day"
)


@pytest.fixture
def in_words(cast, tmp_path):
    """Open a session on a market in words, on the styles of the test's bundle."""
    styles = ("momentum", "news-driven")
    bundle = SimpleNamespace(
        **vars(cast.bundle), adapters=[Path(name) for name in styles], blocks=1, base="none"
    )
    logs = []

    def open_session():
        file = save_market(WORDS, tmp_path / "market.yaml", styles)["scenario"]
        settings = begin_settings("BUNDLE", Size(400, 60, 3), file)
        logs.append(SessionLog(tmp_path / "session", settings))
        members = desk_cast(settings["cast"], desk_scenario(settings["scenario"]))
        return Session(Cast(bundle, np.empty((0, 0, 5)), TeacherMinds(styles), members), logs[-1])

    open_session.leave = lambda: [logs.pop().close() for _ in logs[:]]
    yield open_session
    open_session.leave()


def test_a_market_in_words_is_played_and_replays(in_words):
    session = in_words()
    assert session.size.agents == 20
    assert session.branch.watch.groups == [
        "momentum-traders", "news-driven-investors", "market makers", "noise traders",
        "noise traders 2", "you",
    ]  # fmt: skip
    play(session, 2)
    session.happen({"kind": "order", "line": "buy 40 market"})
    told = {"persona": "news-driven-investors"}
    session.happen({"kind": "rumour", "text": "Good.", "tone": 3.0, "agents": told})
    session.happen({"kind": "change_terms", "initial_margin_bps": 2_000})
    play(session, 2)
    assert (
        session.branch.exchange.ledger.position[-1, 0] == 40
    )  # of a future nobody begins with any
    assert session.branch.exchange.listings[0].instrument.initial_margin_bps == 2_000
    assert session.replay()["same"]
    before = bars(session)
    session.fork(1, "other")
    play(session, 3)
    assert bars(session)[:2] == before[:2]
    assert bars(session)[3] != before[3]
    # and a desk that was closed goes on where it was
    in_words.leave()
    again = in_words()
    assert (again.shown, bars(again)) == ("other", bars(session))
    assert again.replay()["same"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"assets": [{"name": "a"}, {"name": "b"}]}, "has 2 assets, and a desk shows one"),
        ({"members": [{"name": "c", "kind": "company"}]}, "'c' speaks for assets"),
        ({"members": []}, "members is empty"),
    ],
)
def test_a_cast_that_a_desk_cannot_show_is_refused(tmp_path, change, complaint):
    cast = {"members": [{"name": "a", "style": "momentum"}]} | change
    (tmp_path / "people.yaml").write_text(json.dumps(cast))
    (tmp_path / "market.yaml").write_text("cast: people.yaml")
    with pytest.raises(ConfigError, match=complaint):
        begin_settings("BUNDLE", Size(40, 60, 3), tmp_path / "market.yaml")


def test_a_cast_does_not_think_at_a_desk(tmp_path):
    (tmp_path / "people.yaml").write_text("members: [{name: a, style: momentum}]")
    (tmp_path / "market.yaml").write_text("{cast: people.yaml, deliberation: {}}")
    with pytest.raises(ConfigError, match="cast and deliberation are both set"):
        begin_settings("BUNDLE", Size(40, 60, 3), tmp_path / "market.yaml")
