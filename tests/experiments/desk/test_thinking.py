"""Agents who think in words go back and branch as all others do."""

import numpy as np
import pytest

from evobourse.agents.deliberation.settings import Deliberation, Memory
from evobourse.agents.deliberation.thinking import Thinker
from evobourse.agents.deliberation.writer import BatchWriter
from evobourse.experiments.config.scenario import Beside, Scenario, Size
from evobourse.experiments.desk.branch import Branch, same_state
from evobourse.experiments.simulate.exchange import build_scenario
from tests.conftest import STYLES


@pytest.mark.slow
def test_agents_who_think_go_back_and_think_the_same_again(style_engine, cast, population):
    from types import SimpleNamespace

    mixtures = np.eye(len(STYLES))[:2].tolist()
    bundle = SimpleNamespace(**{**vars(cast.bundle), "population": population(mixtures)})
    kinds = ("reason", "advice", "revision", "reflection", "post")
    memory = Memory(recall_tokens=60, working_tokens=40)
    settings = Deliberation(iterations=0, memory=memory, **{f"{kind}_tokens": 2 for kind in kinds})
    writer = BatchWriter(style_engine)
    expert = np.eye(len(STYLES), dtype=np.float32)[None, 1]
    thinker = Thinker(writer, writer, expert, settings, np.array([0, 1, 7, 40]))
    scenario = Scenario(("call",), beside=Beside(person_lots=100), deliberation=settings)
    exchange = build_scenario(scenario, bundle, thinker, Size(2, 3, 1), events=[])
    branch = Branch(exchange, [thinker, bundle], "main")
    said = []

    def play():
        while not branch.play_turn():
            pass
        said.append([text["text"] for text in branch.watch.texts])

    play()
    play()
    state, rows = branch.exchange, branch.watch.rows
    branch._snapshots[1] = branch._copied(branch._restored(1, [])), ()
    branch.rewind(1)
    play()
    assert said[1] == said[2] != said[0]
    assert any(said[1])
    assert branch.watch.rows == rows
    assert same_state(branch.exchange, state)
