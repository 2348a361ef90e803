"""The desk's server: who is answered, what is refused, what is streamed."""

import asyncio
import json
import threading
import time

import pytest
from starlette.testclient import TestClient

from evobourse.experiments.desk import server
from evobourse.experiments.desk.player import Player
from evobourse.experiments.desk.server import (
    FILES,
    MOST_BYTES,
    changes,
    listen,
    make_app,
    new_token,
)
from evobourse.experiments.errors import ConfigError

PORT, TOKEN = 8123, "a-token"
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def player(desk, monkeypatch):
    monkeypatch.setattr(server, "ANSWER_SECONDS", 120.0)  # a first turn may compile its loops
    player = Player(desk())
    player.start()
    yield player
    player.stop()
    player.join()


@pytest.fixture
def stranger(player):
    with TestClient(make_app(player, PORT, TOKEN), base_url=HERE, follow_redirects=False) as own:
        yield own


@pytest.fixture
def client(stranger):
    """Open the address with the token, as a person does."""
    answer = stranger.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", f"desk-{PORT}="))
    return stranger


def act(client, headers=None, **command):
    return client.post("/act", json=command, headers=headers)


def first_event(player):
    """Return what a new reader is sent at first."""

    class Request:
        async def is_disconnected(self):
            return False

    async def read():
        async for event in changes(player, Request()):
            return json.loads(event.removeprefix(b"data: "))

    return asyncio.run(read())


@pytest.mark.parametrize("path", FILES)
def test_the_page_answers_without_a_secret_in_it(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 200
    assert TOKEN not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [*FILES, "/stream", "/nowhere"])
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"evil.example:{PORT}", ""]
)
def test_another_host_is_refused(client, path, host):
    assert client.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1"]
)
def test_another_origin_is_refused(client, player, origin):
    answer = act(client, {"origin": origin}, do="step", unit="day")
    assert answer.status_code == 403
    assert player.session.branch.day == 0
    assert client.get("/", headers={"origin": origin}).status_code == 403


def test_its_own_origin_is_taken(client, player):
    for host in ("127.0.0.1", "localhost"):
        headers = {"origin": f"http://{host}:{PORT}"}
        assert act(client, headers, do="step", unit="day").status_code == 200
    assert player.session.branch.day == 2


def test_nothing_is_told_or_done_without_the_token(stranger, player):
    assert act(stranger, do="step", unit="day").status_code == 403
    assert stranger.get("/stream").status_code == 403
    assert stranger.get("/?token=wrong").status_code == 403
    stranger.cookies.set(f"desk-{PORT}", "wrong")
    assert act(stranger, do="step", unit="day").status_code == 403
    assert player.session.branch.day == 0
    assert len({new_token() for _ in range(9)}) == 9


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b'{"do": "step"', "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b" " * (MOST_BYTES + 1), "application/json", 413),
        (b'{"do": "play"}', "text/plain", 415),
        (b"do=play", "application/x-www-form-urlencoded", 415),
    ],
)
def test_bad_bodies_are_refused(client, player, body, kind, code):
    answer = client.post("/act", content=body, headers={"content-type": kind})
    assert answer.status_code == code
    assert "\n" not in answer.json()["error"]
    assert not player.playing


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ({}, "do is 'None', which a desk does not do"),
        ({"do": "fly"}, "'fly'"),
        ({"do": "step", "unit": "year"}, "expected turn or day"),
        ({"do": "step"}, "unit is 'None', expected str"),
        ({"do": "speed", "days_a_second": 0}, "expected 0.01 to 1000"),
        ({"do": "speed", "days_a_second": True}, "expected int"),
        ({"do": "rewind", "day": "1"}, "day is '1', expected int"),
        ({"do": "rewind", "day": 9}, "has not come yet"),
        ({"do": "fork", "day": 0, "name": "a b"}, "expected a new name"),
        ({"do": "show", "branch": "none"}, "no branch 'none'"),
        ({"do": "happen", "event": {"kind": "news"}}, "news lacks text"),
        ({"do": "happen", "event": {"kind": ["news"], "text": "x"}}, "unknown kind"),
        ({"do": "happen", "event": {"kind": "order", "line": "x" * 9_000}}, "cannot read"),
        ({"do": "call_off", "index": 0}, "nothing to come"),
        ({"do": "replay"}, "no day is over yet"),
    ],
)
def test_bad_commands_are_refused_in_one_line(client, player, command, complaint):
    answer = client.post("/act", json=command)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert player.session.branch.happened == []


def test_what_is_done_is_streamed_as_it_was_said(client, player):
    text = '<script>alert(1)</script> & "quotes" \u2028'
    assert act(client, do="happen", event={"kind": "news", "text": text}).json()["done"]["day"] == 0
    assert act(client, do="happen", event={"kind": "order", "line": "buy 10 market"}).is_success
    assert act(client, do="step", unit="day").status_code == 200
    event = first_event(player)
    assert [row[0][3] for row in event["lines"]["main"]["rows"]] == [
        player.session.branch.watch.rows[0].bar[3]
    ]
    assert event["parts"]["said"]["messages"][0]["text"] == text
    assert event["parts"]["events"]["happened"][0]["text"] == text
    assert event["parts"]["now"]["day"] == 1
    assert any("of 10 lots" in line for line in event["parts"]["account"]["told"])
    assert event["parts"]["book"]["bid"]
    json.dumps(event)


def test_it_plays_stops_and_branches(client, player):
    act(client, do="speed", days_a_second=1000)
    act(client, do="play")
    deadline = time.monotonic() + 60
    while player.shown.parts["now"]["day"] < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    act(client, do="pause")
    day = player.session.branch.day
    assert day >= 20
    time.sleep(0.1)
    assert player.session.branch.day == day
    before = player.shown.lines["main"]
    assert act(client, do="rewind", day=5).is_success
    after = player.shown.lines["main"]
    assert (after.days, after.edition) == (5, before.edition + 1)
    assert len(before.rows) >= 20  # who still reads it is not disturbed
    assert act(client, do="fork", day=3, name=None).is_success
    assert player.shown.lines["branch-1"].parent == ("main", 3)
    assert player.shown.parts["now"]["branch"] == "branch-1"
    assert act(client, do="step", unit="day").is_success
    assert act(client, do="replay").json()["done"]["same"]


def test_a_busy_market_answers_later(client, player, monkeypatch):
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.05)
    went_on = threading.Event()
    play_turn = player.session.play_turn
    monkeypatch.setattr(player.session, "play_turn", lambda: went_on.wait(60) and play_turn())
    assert act(client, do="step", unit="day").status_code == 202
    answer = act(client, do="happen", event={"kind": "news", "text": "x", "day": -1})
    assert answer.status_code == 202
    went_on.set()
    deadline = time.monotonic() + 60
    while not player.shown.parts["notice"]["text"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "news.day is -1" in player.shown.parts["notice"]["text"]
    assert player.session.branch.day == 1


def test_a_session_that_is_over_stops(client, player):
    act(client, do="speed", days_a_second=1000)
    act(client, do="play")
    deadline = time.monotonic() + 60
    while not player.shown.parts["now"]["over"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert act(client, do="play").status_code == 400
    assert act(client, do="step", unit="day").status_code == 400
    assert player.session.branch.day == 60


def test_a_port_that_is_taken_is_refused_in_one_line():
    with listen(0) as own:
        assert own.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match=r"port \d+: .*; name another one, or 0"):
            listen(own.getsockname()[1])


def test_a_question_for_the_heads_of_the_stream_leaves_its_connection_free(client):
    # Chromium sends its next command on it, and would wait for the end of the stream
    answer = client.head("/stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
