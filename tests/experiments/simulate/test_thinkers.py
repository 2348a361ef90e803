"""Deliberate scenarios: what a file says, whom it can be asked of, and the benchmark, small."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evobourse.agents.deliberation.settings import Deliberation, Expert, Memory, Traits
from evobourse.agents.deliberation.wording import KINDS
from evobourse.agents.deliberation.writer import BatchWriter
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.personas.social import Social
from evobourse.experiments.config.scenario import Scenario, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.thinkers import open_thinker
from evobourse.experiments.studies import deliberate_day as bench
from evobourse.market.rules import MarketRules
from evobourse.merge.errors import ModelError

SHIPPED = Path(__file__).parents[3] / "experiments" / "scenarios" / "deliberate.yaml"


@dataclass
class Bundle:
    population: object
    offsets: object
    history: object
    adapters: tuple = (Path("momentum"), Path("value"), Path("contrarian"))
    blocks: int = 1
    recipe: None = None
    base: str = "smollm2-135m-instruct"
    rules: object = MarketRules()


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500):
    from evobourse.agents.crowds.persona_crowd import history_ticks

    mixtures = np.eye(3).tolist()
    people = population(mixtures, mask={"crowd": 0.0}, attention=6, activity=1.0)
    return Bundle(people, offsets, history_ticks(sp500.close[:1000]))


@pytest.fixture(scope="module")
def engine(fresh_engine):
    """The real model's top three layers, which have adapters."""
    from evobourse.merge.engine.parts import Parts

    made = fresh_engine()
    own = made.decoder.parts
    made.decoder.run_on(Parts(own.embedding, own.slots[27:], own.norm, own.head))
    return made


def test_the_shipped_scenario_says_what_the_page_says():
    scenario = load_scenario(SHIPPED)
    assert scenario.turns == ("call", "continuous", "continuous", "continuous", "call")
    assert scenario.society == Social()
    own = scenario.deliberation
    assert own.expert == Expert(style="value")
    assert own.memory == Memory()
    assert own == Deliberation(expert=own.expert)
    assert Scenario().deliberation is None


def test_a_persona_s_own_traits_come_before_those_of_all(tmp_path):
    (tmp_path / "scene.yaml").write_text(
        "deliberation: {memory_days: 7, personas: {amateur: {receptivity: 0.9}}}"
    )
    own = load_scenario(tmp_path / "scene.yaml").deliberation
    assert own.personas == {"amateur": Traits(receptivity=0.9)}
    assert own.of_persona("amateur") == (0.9, 7.0)
    assert own.of_persona("anybody") == (0.5, 7.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("deliberation: {iteration: 1}", "did you mean 'deliberation.iterations'"),
        ("deliberation: {memory: {recall_tokens: few}}", "expected a whole number"),
        ("deliberation: {receptivity: 2}", "deliberation.receptivity is 2.0, expected 0 to 1"),
    ],
)
def test_a_bad_section_is_refused_in_one_line(text, complaint, tmp_path):
    (tmp_path / "scene.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_scenario(tmp_path / "scene.yaml")


def test_the_benchmark_watches_every_desk_once(bundle, engine):
    thinker = open_thinker(Deliberation(), bundle, engine)
    assert bench.watched(thinker) == [thinker.writer]
    assert thinker.advisers is thinker.writer
    thinker.advisers = BatchWriter(engine)
    writers = bench.watched(thinker)
    assert writers == [thinker.writer, thinker.advisers]
    assert len({*map(id, writers)}) == 2


def test_minds_that_cannot_write_and_experts_that_are_none_are_refused(bundle, engine):
    with pytest.raises(AgentError, match="minds are RandomMinds; needed is one base"):
        open_thinker(Deliberation(), bundle, RandomMinds())
    with pytest.raises(AgentError, match="'oracle' is no style of the bundle, expected of momen"):
        open_thinker(Deliberation(Expert("oracle")), bundle, engine)
    with pytest.raises(ModelError, match="no-such-model"):
        open_thinker(Deliberation(Expert(base="no-such-model")), bundle, engine)


def test_a_day_is_counted_and_shown_and_the_peer_answers_its_prompts(
    bundle, engine, monkeypatch, report, told
):
    lengths = {f"{kind}_tokens": 2 for kind in KINDS}
    scene = Scenario(("call", "call"), society=Social(), deliberation=Deliberation(**lengths))
    bases = SimpleNamespace(serve=lambda recipe: engine)
    monkeypatch.setattr(bench, "open_bundle", lambda folder: (bundle, bases))
    monkeypatch.setattr(bench, "load_scenario", lambda path: scene)
    page = bench.run(bench.Settings(agents=4, days=2, sample=4), report).text
    figures = {figure["figure"]: figure for figure in told()}
    assert "| texts written | 32 |" in page  # three a turn, a lesson and a post, of 4 agents
    for kind in (*KINDS, "page"):
        assert f"] {kind}: " in page
    for name in ("prompt tokens computed", "generated tokens", "thinking", "a day"):
        assert figures[name]["value"] > 0
    assert figures["thinking"]["peer"] == bench.PEER
