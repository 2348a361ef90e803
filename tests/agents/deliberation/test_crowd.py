"""A deliberate crowd at the exchange: what it reads, writes, orders and remembers."""

import numpy as np
import pytest

from evobourse.agents.deliberation.settings import Traits
from evobourse.agents.deliberation.thinking import revise, to_probabilities
from evobourse.agents.errors import AgentError
from evobourse.agents.personas.social import Social
from evobourse.market.book.order_events import Kind

SOCIAL = Social(link_threshold=0.0, posting=1.0, decay=0.1)
TRAITS = {"p0": Traits(receptivity=0.0), "p1": Traits(receptivity=1.0)}


AGENTS, DAYS, TURNS = 5, 2, 2


@pytest.fixture(scope="module")
def sociable(people):
    often = {"activity": 1.0, "aggressiveness": 0.2, "dispersion": 2.0}  # orders that meet
    return people(mask={"crowd": 0.0}, attention=6, momentary_mask=0.0, social=SOCIAL, **often)


@pytest.fixture(scope="module")
def played(play, sociable, short):
    return play(sociable, short(personas=TRAITS))


def test_one_seed_one_tape_whatever_the_engine_still_knows(played, play, sociable, short):
    expected, settings = played[1].manifest.digest, short(personas=TRAITS)
    assert play(sociable, settings, seed=2, days=1)[1].manifest.digest != expected
    assert play(sociable, settings)[1].manifest.digest == expected


def test_every_text_is_on_the_tape(played):
    texts = played[1].frame("texts")
    counts = texts.groupby(["day", "kind"]).size().unstack()
    for kind in ("reason", "advice", "revision"):
        assert counts[kind].tolist() == [AGENTS * TURNS] * DAYS
    assert counts["page"].tolist() == [AGENTS * (TURNS + 1)] * DAYS
    for kind in ("reflection", "post"):
        assert counts[kind].tolist() == [AGENTS] * DAYS
    written = texts[texts["kind"] != "page"]
    assert written["generated_tokens"].between(0, 1).all()
    assert (written["prompt_tokens"] > 150).all()  # the rules at least
    assert (texts.loc[texts["kind"] == "page", "prompt_tokens"] == 0).all()
    closing = texts["kind"].isin(("reflection", "post"))
    assert (texts.loc[closing, "turn"] == TURNS - 1).all()
    assert texts.loc[texts["kind"] == "advice", "text"].str.contains("I would choose ").all()


def test_a_choice_moves_from_ones_own_to_the_advised_by_receptivity(played, sociable):
    rows = played[1].frame("decisions")
    receptivity = np.select([rows["persona"] == 0, rows["persona"] == 1], [0.0, 1.0], 0.5)
    expected = (1 - receptivity) * rows["own"] + receptivity * rows["advised"]
    np.testing.assert_allclose(rows["lean"], expected, atol=1e-12)
    assert (rows["own"] - rows["advised"]).abs().max() > 1e-3
    assert len(rows) == AGENTS * TURNS * DAYS
    assert rows["tendency"].between(-2, 2).all()


def test_pages_show_today_s_choices_yesterday_s_lesson_and_friends_posts(played):
    crowd, tape = played
    texts = tape.frame("texts")
    pages = texts[texts["kind"] == "page"]
    later = pages.query("day == 0 and turn == 1 and not text.str.contains('is over')")["text"]
    assert later.str.contains("Today so far: Round 1: you chose ").all()
    close = pages.query("day == 0 and turn == 1")["text"]
    assert close.str.contains("The day is over.").sum() == AGENTS
    morning = pages.query("day == 1 and turn == 0").set_index("agent")["text"]
    lessons = texts.query("day == 0 and kind == 'reflection'").set_index("agent")["text"]
    posts = texts.query("day == 0 and kind == 'post'").set_index("agent")["text"]
    readings = tape.frame("readings").query("day == 1")
    assert len(readings) > 0
    for agent in range(AGENTS):
        assert lessons[agent] in morning[agent]
        read = readings.loc[readings["agent"] == agent, "other"]
        _, _, wrote = morning[agent].partition("Your friends wrote:")
        found = [line[2:] for line in wrote.split("\n") if line.startswith("- ")]
        assert found == [posts[author] for author in read]
        assert len(crowd.memories[agent].episodic) + len(crowd.memories[agent].long_term) == 2


def test_what_agents_withdraw_is_cancelled_and_what_they_keep_rests(play, people, short):
    population = people(activity=1.0, mask={"news": 1.0})
    _, tape = play(population, short(iterations=0), agents=8)
    orders = tape.frame("orders").query("agent >= 0")
    first = orders[(orders["turn"] == 0) & (orders["kind"] == Kind.LIMIT)]
    cancels = orders[(orders["turn"] == 0) & (orders["kind"] == Kind.CANCEL)]
    resting = first[first["filled"] < first["quantity"]]
    assert 0 < len(cancels) < len(resting)
    keys = set(zip(resting["day"], resting["number"], strict=True))
    assert set(zip(cancels["day"], cancels["target"], strict=True)) <= keys
    notes = tape.frame("texts").query("kind == 'page' and turn == 1")["text"]
    second = notes[notes.str.contains("Round 2 of 2")]
    assert second.str.contains("You withdrew your order.").sum() == len(cancels)


def test_accounts_on_a_page_are_those_of_the_agent(played):
    crowd, tape = played
    pages = tape.frame("texts").query("kind == 'page' and day == 0 and turn == 0")
    for agent, held in enumerate(crowd.accounts().shares):
        [text] = pages.loc[pages["agent"] == agent, "text"]
        assert f"You hold {held} share" in text
        assert "50% of your wealth. Your profit today is 0.0%." in text


def test_settings_that_do_not_fit_the_population_are_refused(play, people, short):
    with pytest.raises(AgentError, match="'nobody' is no persona, expected of p0, p1, p2"):
        play(people(), short(personas={"nobody": Traits()}))


def test_receptivity_is_the_part_of_the_way_that_a_choice_moves():
    rng = np.random.default_rng(0)
    own, advised = (to_probabilities(rng.normal(0, 2, (50, 5)), np.ones(50)) for _ in range(2))
    receptivity = rng.random(50)
    final = revise(own, advised, receptivity)
    np.testing.assert_allclose(final.sum(axis=1), 1.0)
    np.testing.assert_allclose(
        np.abs(final - own).sum(axis=1), receptivity * np.abs(advised - own).sum(axis=1)
    )
    np.testing.assert_array_equal(revise(own, advised, np.zeros(50)), own)
    np.testing.assert_array_equal(revise(own, advised, np.ones(50)), advised)


def test_a_profile_is_part_of_the_page_by_which_a_lean_is_measured(shared_engine, short):
    from evobourse.agents.deliberation.thinking import NEUTRAL_PAGE, Thinker
    from evobourse.agents.deliberation.wording import render_profile
    from evobourse.agents.deliberation.writer import Ask, BatchWriter

    writer, views = BatchWriter(shared_engine), np.array([0, 1, 7, 40])
    mind = np.eye(3, dtype=np.float32)[None, 1]
    thinker = Thinker(writer, writer, mind, short(), views)
    profile = render_profile("A miner who has sold far too much ahead, and must buy it back.")
    leans = []
    for said in (profile, ""):
        asks = [
            Ask(agent, (profile, NEUTRAL_PAGE), int(view), mind, said)
            for agent, view in enumerate(views)
        ]
        mean = thinker._logits(writer, asks).mean(axis=0)
        leans.append(np.abs(mean - mean[::-1]).max())
    assert leans[0] < 1e-3
    assert leans[1] > 30 * leans[0]
