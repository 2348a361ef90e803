"""A population of stand-ins at a desk: no model is opened."""

from types import SimpleNamespace

import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.experiments.config.scenario import Size
from evobourse.experiments.desk.log import SessionLog
from evobourse.experiments.desk.session import Cast, Session
from evobourse.experiments.desk.settings import begin_settings
from evobourse.market.rules import MarketRules


@pytest.fixture(scope="session")
def cast(population, offsets, sp500, tmp_path_factory):
    """Two personas, who read news and follow trends."""
    people = population([[0.0, 1.0], [1.0, 0.0]], mask={"news": 0.0}, attention=3)
    history = history_ticks(sp500.close[:1000])
    bundle = SimpleNamespace(
        name="test", population=people, offsets=offsets, rules=MarketRules(), history=history
    )
    choices = tabulate_choices([people], TeacherMinds(("momentum", "news-driven")))[0]
    cast = Cast(bundle, choices)
    # A first turn compiles loops, for longer than any answer is waited for on a busy machine.
    settings = begin_settings("BUNDLE", Size(9, 9, 3), None)
    log = SessionLog(tmp_path_factory.mktemp("first") / "session", settings)
    Session(cast, log).play_turn()
    log.close()
    return cast


@pytest.fixture
def desk(cast, tmp_path):
    """Open a session, or the one that is there already."""
    logs = []

    def open_session(scenario="", folder="session", agents=40, days=60, seed=3):
        file = None
        if scenario:
            file = tmp_path / "given.yaml"
            file.write_text(scenario)
        settings = begin_settings("BUNDLE", Size(agents, days, seed), file)
        logs.append(SessionLog(tmp_path / folder, settings))
        return Session(cast, logs[-1])

    open_session.leave = lambda: [logs.pop().close() for _ in logs[:]]
    yield open_session
    open_session.leave()
