"""The desk in a real headless Chromium: what a person sees and does."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from evobourse.experiments.desk.player import Player
from evobourse.experiments.desk.server import ADDRESS, Server, listen, make_app
from evobourse.experiments.desk.settings import PERSON_LOTS

pytestmark = pytest.mark.slow
TEXT = "A hole <img src=x onerror=\"document.title='run'\">"
SOCIETY = "society: {acquaintances: 20, telling: 1.0, posting: 1.0}\n"


@pytest.fixture
def served(desk):
    """Serve a session; return its player and address."""
    players, servers, threads = [], [], []

    def serve(folder="session"):
        player = Player(desk(SOCIETY, folder=folder), np.linspace(10_000, 11_000, 60).astype(int))
        player.start()
        own = listen(0)
        port = own.getsockname()[1]
        server = Server.of(make_app(player, port, "token"))
        thread = threading.Thread(target=server.run, args=([own],), daemon=True)
        thread.start()
        players.append(player)
        servers.append(server)
        threads.append(thread)
        return player, f"http://{ADDRESS}:{port}/"

    yield serve
    for server, thread in zip(servers, threads, strict=True):
        server.should_exit = server.force_exit = True
        thread.join(30)
    for player in players:
        player.stop()
        player.join()


class Page:
    """A page, its complaints, and a way to wait: the page's policy lets nobody evaluate text."""

    def __init__(
        self, browser, address, width=1280, scheme="light", token="?token=token", context=None
    ):
        size = {"width": width, "height": 900}
        context = context or browser.new_context(viewport=size, color_scheme=scheme)
        self.page = context.new_page()
        self.complaints = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self.complaints.append(line.text))
        self.page.goto(address + token)
        if token:
            self.page.wait_for_selector("body[data-live]")

    def until(self, holds, seconds=180):  # a clean clone compiles before its first day
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(50)

    @property
    def day(self):
        return int(self.page.inner_text("#day").split()[1])

    def step(self, days=1):
        for _ in range(days):
            before = self.day
            self.page.click("#step-day")
            self.until(lambda: self.day == before + 1)  # noqa: B023 - called at once


def test_a_person_plays_tells_trades_halts_branches_goes_back_and_replays(served, browser):
    player, address = served()
    desk = Page(browser, address)
    page = desk.page
    # play, by keys
    page.keyboard.press("4")
    page.keyboard.press("Space")
    desk.until(lambda: desk.day >= 8)
    page.keyboard.press("Space")
    desk.until(lambda: page.inner_text("#play") == "Play")
    start = desk.day
    # a rumour to one persona, which spreads
    page.check("#say input[value=rumour]")
    page.fill("#say-text", TEXT)
    page.locator("#say-tone").fill("-6")
    page.locator("#say-share").fill("20")
    page.click("#say button.main")
    desk.until(lambda: "Recorded" in page.inner_text("#answer"))
    desk.step(2)
    known = page.inner_text("#rumours")
    assert TEXT in known
    desk.step(3)
    count = [
        int(text.rpartition(": ")[2].split()[0]) for text in (known, page.inner_text("#rumours"))
    ]
    assert count[1] > count[0] > 0
    assert TEXT in page.inner_text("#done")
    assert page.title() == "test · desk"  # and was not run
    assert page.locator("#done img, #said img, #rumours img").count() == 0
    # a trade, and its fill
    page.keyboard.press("Escape")
    page.click("[data-tab=trade]")
    page.fill("#lots", "30")
    page.click("#trade button.main")
    desk.until(lambda: "buy 30 market" in page.inner_text("#done"))
    desk.step()
    held = player.session.branch.exchange.ledger.position[-1, 0]
    assert held > PERSON_LOTS
    assert f"{held:,}" in page.inner_text("#account")
    assert "of 30 lots" in page.inner_text("#told")
    # a halt
    page.click("[data-tab=rules]")
    page.click("#halt")
    desk.until(lambda: "halt" in page.inner_text("#done"))
    desk.step()
    assert "halted" in page.inner_text("#of")
    assert player.session.branch.watch.rows[-1].bar[5] == 0
    page.click("#halt")
    desk.until(lambda: "resume" in page.inner_text("#done"))
    desk.step()
    # a branch, beside the line that it left
    last = desk.day
    page.locator("#at").fill(str(start))
    page.click("#fork")
    desk.until(lambda: desk.day == start)
    desk.step(2)
    assert "branch-1" in page.inner_text("#compare")
    assert "branch-1" in page.inner_text("#legend")
    assert "Nothing so far." in page.inner_text("#done")
    # back on the first line, and further back
    page.click("#lines button:has-text('main')")
    desk.until(lambda: desk.day == last)
    page.locator("#at").fill(str(start + 1))
    page.click("#rewind")
    desk.until(lambda: desk.day == start + 1)
    assert "take back" in page.inner_text("#done")
    desk.step(last - start - 1)
    # the same again from the file
    page.click("#kept summary")
    page.click("#replay")
    desk.until(lambda: "sha256" in page.inner_text("#replayed"))
    assert page.inner_text("#replayed").startswith(f"The same {last} days")
    assert desk.complaints == []
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_said_in_words(served, browser, width, scheme):
    _, address = served()
    desk = Page(browser, address, width, scheme)
    desk.step(2)
    page = desk.page
    assert page.evaluate("document.documentElement.scrollWidth") == width
    unnamed = page.locator("button, input, select, textarea").evaluate_all(
        "all => all.filter(one => !(one.labels?.length || one.textContent.trim() || "
        "one.getAttribute('aria-label'))).map(one => one.outerHTML)"
    )
    assert unnamed == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 25)"
    assert dark == (scheme == "dark")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    assert desk.complaints == []
    page.close()


def test_without_the_token_it_says_what_to_do(served, browser):
    player, address = served()
    desk = Page(browser, address, token="")
    desk.until(lambda: "whole address" in desk.page.inner_text("#notice"))
    desk.page.click("#step-day")
    desk.page.wait_for_timeout(300)
    assert player.session.branch.day == 0
    desk.page.close()


def test_two_desks_at_once_keep_apart(served, browser):
    (first, one), (second, other) = served("first"), served("second")
    context = browser.new_context()
    desks = [Page(browser, address, context=context) for address in (one, other)]
    desks[0].step(3)
    desks[1].step(1)
    assert (first.session.branch.day, second.session.branch.day) == (3, 1)
    assert [desk.day for desk in desks] == [3, 1]
    context.close()


@pytest.fixture
def elsewhere():
    """Serve an empty page from another port of this machine."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((ADDRESS, 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{ADDRESS}:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_another_page_in_the_same_browser_cannot_play_it(served, browser, elsewhere):
    player, address = served()
    desk = Page(browser, address)
    desk.step()
    desk.page.goto(elsewhere)  # its requests carry the desk's cookie: ports share a site
    answers = desk.page.evaluate(
        """async address => {
            const body = JSON.stringify({do: "step", unit: "day"});
            const signal = AbortSignal.timeout(60000);
            const failed = (error) => error.name === "TypeError" ? "refused" : error.name;
            const send = (more) => fetch(
                address + "act", {method: "POST", body, signal, ...more}
            ).then((got) => got.type, failed);
            const json = {headers: {"content-type": "application/json"}};
            const read = fetch(address, {signal}).then(() => "read", failed);
            return [await send({mode: "no-cors", credentials: "include"}),
                    await send({credentials: "include", ...json}), await read];
        }""",
        address,
    )
    assert answers == ["refused", "refused", "refused"]
    assert player.session.branch.day == 1
    desk.page.close()
