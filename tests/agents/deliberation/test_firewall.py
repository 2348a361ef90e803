"""The firewall: what is masked never reaches the model, by the ids of the tokens fed to it.

Four sentinels are planted: the words of the field ``news``, the text of the news, that of a rumour,
and the posts of others, which only the field ``crowd`` shows. Each is one rare token. The same
markets with nothing masked prove that each would be found on every path.
"""

from dataclasses import replace

import numpy as np
import pytest

from evobourse.agents import observation
from evobourse.agents.deliberation import writer
from evobourse.agents.observation import FIELD_NAMES, FIELDS, decode_view, possible_views
from evobourse.agents.personas.social import Social
from evobourse.market.events.schedule import load_schedule
from evobourse.merge.engine.decoder import Decoder

WORD, NEWS, RUMOUR, POST = " quartz", " zebra", " violin", " kangaroo"
EVENTS = f"""
events:
- {{kind: news, day: 0, text: "Of{NEWS} again.", tone: 1.0}}
- {{kind: rumour, day: 0, agents: {{share: 1.0}}, text: "They say{RUMOUR} so.", tone: 1.0}}
"""
THINKING = {"reason", "choice", "the expert's choice", "advice", "revision", "withdrawals"}
CLOSING = {"reflection", "post"}


@pytest.fixture(scope="module")
def ids(tokenizer):
    found = {
        s: tokenizer(s, add_special_tokens=False).input_ids for s in (WORD, NEWS, RUMOUR, POST)
    }
    assert all(len(tokens) == 1 for tokens in found.values())
    return {sentinel: tokens[0] for sentinel, tokens in found.items()}


class Spy:
    """Notes every token that is fed to a decoder, under the stage at hand."""

    def __init__(self, monkeypatch):
        self.stage = "reflex"
        self.fed = {}
        usual = Decoder.embed

        def embed(decoder, tokens):
            rows = self.fed.setdefault(self.stage, set())
            rows.update(token for row in tokens for token in row)
            return usual(decoder, tokens)

        monkeypatch.setattr(Decoder, "embed", embed)

    def stages_with(self, token):
        return {stage for stage, tokens in self.fed.items() if token in tokens}


@pytest.fixture
def sentinel_words(monkeypatch):
    """Give the field ``news`` one word for all its levels, in views, not in the rules."""

    def plant():
        rules = observation.render_rules()  # they explain every word, to all alike
        monkeypatch.setattr(writer, "render_rules", lambda *_: rules)
        fields = [replace(f, words=(WORD.strip(),) * 3) if f.name == "news" else f for f in FIELDS]
        monkeypatch.setattr(observation, "FIELDS", tuple(fields))

    return plant


def test_the_rules_hold_no_sentinel(shared_engine, ids):
    assert not set(ids.values()) & set(shared_engine.view_prompt(0).tokens)


def test_a_masked_word_never_reaches_the_model_by_reflex(
    shallow_engine, sentinel_words, monkeypatch, ids
):
    views = possible_views(2)
    shows = decode_view(views)[:, FIELD_NAMES.index("news")] >= 0
    mind = np.full((1, 3), 0.3, np.float32)
    for asked, there in ((views[~shows], False), (views[shows][::9], True)):
        engine = shallow_engine()
        sentinel_words()
        spy = Spy(monkeypatch)
        engine.answer(mind, asked)
        assert (spy.stages_with(ids[WORD]) == {"reflex"}) == there


@pytest.mark.parametrize("masked", [True, False])
def test_a_masked_source_never_reaches_the_model_on_any_path(
    masked, shallow_engine, people, short, play, sentinel_words, monkeypatch, ids, tmp_path
):
    (tmp_path / "events.yaml").write_text(EVENTS)
    events = load_schedule(tmp_path / "events.yaml", np.random.default_rng(0))
    hidden = float(masked)
    population = people(
        mask={"news": hidden, "crowd": hidden, "trend": 0.0},
        attention=6,
        momentary_mask=0.0,
        activity=1.0,
        aggressiveness=0.2,
        dispersion=2.0,
        social=Social(link_threshold=0.0, posting=1.0, decay=0.1),
    )
    engine = shallow_engine()
    sentinel_words()
    spy = Spy(monkeypatch)
    day = 0

    def on_stage(stage):
        spy.stage = f"{day} {stage}"

    def on_day(ended, crowd):
        nonlocal day
        day = ended + 1
        crowd._posts = [f"I like{POST} now." for _ in range(crowd.n_agents)]

    crowd, tape = play(
        population, short(), engine=engine, events=events, on_stage=on_stage, on_day=on_day
    )
    read = tape.frame("readings").query("day == 1")
    assert len(read) > 0  # there were posts to be read
    seen = {sentinel: spy.stages_with(token) for sentinel, token in ids.items()}
    if masked:
        assert seen == {sentinel: set() for sentinel in ids}
        return
    assert crowd.n_agents == 5
    both = {f"{day} {stage}" for day in (0, 1) for stage in THINKING | CLOSING}
    assert both - {"1 withdrawals"} <= seen[WORD] <= both  # none may be left to ask about
    for said in (NEWS, RUMOUR):
        # Thought about on its day, reflected on at its close, remembered on the next morning.
        assert seen[said] >= {"0 reason", "0 reflection", "1 reason"}
    assert "1 reason" in seen[POST]
    assert not any(stage.startswith("0") for stage in seen[POST])


def test_news_reach_only_those_who_see_the_field_that_day(people, short, play, tmp_path):
    (tmp_path / "events.yaml").write_text(EVENTS)
    events = load_schedule(tmp_path / "events.yaml", np.random.default_rng(0))
    population = people(mask={"news": 0.5}, attention=6, momentary_mask=0.2, activity=0.5)
    _, tape = play(population, short(iterations=0), agents=8, events=events)
    decisions = tape.frame("decisions").query("turn == 0")
    sees = decode_view(decisions["view"].to_numpy())[:, FIELD_NAMES.index("news")] >= 0
    today = dict(zip(zip(decisions["day"], decisions["agent"], strict=True), sees, strict=True))
    pages = tape.frame("texts").query("kind == 'page'")
    found = {True: 0, False: 0}
    for day, agent, text in zip(pages["day"], pages["agent"], pages["text"], strict=True):
        for said in (NEWS, RUMOUR):
            # On the second day it can be remembered by those who saw it on the first.
            assert (said in text) <= today[0, agent]
            if day == 0:
                assert (said in text) == today[0, agent]
                found[bool(today[0, agent])] += 1
    assert all(found.values())
