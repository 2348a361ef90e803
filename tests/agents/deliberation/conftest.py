"""Deliberate crowds on the top three layers of the real model, which have adapters."""

import numpy as np
import pytest

STYLES = 3


@pytest.fixture(scope="session")
def shallow_engine(fresh_engine):
    """Make engines that think fast: the real embedding, layers 27 to 29, norm and head."""

    def make():
        from evobourse.merge.engine.parts import Parts

        engine = fresh_engine()
        own = engine.decoder.parts
        engine.decoder.run_on(Parts(own.embedding, own.slots[27:], own.norm, own.head))
        return engine

    return make


@pytest.fixture(scope="session")
def shared_engine(shallow_engine):
    """One such engine for many runs: what it still knows of others must change nothing."""
    return shallow_engine()


@pytest.fixture(scope="session")
def people(population):
    """Three personas of mixed styles, as a population whose society can be changed."""

    def build(**society):
        mixtures = np.random.default_rng(3).normal(0, 0.6, (3, STYLES)).tolist()
        return population(mixtures, **society)

    return build


@pytest.fixture(scope="session")
def history(sp500):
    from evobourse.agents.crowds.persona_crowd import history_ticks

    return history_ticks(sp500.close[:1000])


@pytest.fixture(scope="session")
def short():
    """Settings of texts of a token."""
    from evobourse.agents.deliberation.settings import Deliberation, Memory

    def build(**changed):
        lengths = {
            f"{kind}_tokens": 1 for kind in ("reason", "advice", "revision", "reflection", "post")
        }
        memory = Memory(recall_tokens=300, working_tokens=200)
        return Deliberation(**{**lengths, "memory": memory, **changed})

    return build


@pytest.fixture(scope="session")
def play(shared_engine, offsets, history):
    """Run a deliberate crowd at the exchange: the crowd and the tape."""

    def run(
        population,
        settings,
        days=2,
        turns=("call", "call"),
        agents=5,
        seed=3,
        events=None,
        engine=None,
        on_stage=lambda stage: None,
        on_day=None,
    ):
        from evobourse.agents.deliberation.crowd import DeliberateCrowd
        from evobourse.agents.deliberation.thinking import Thinker
        from evobourse.agents.deliberation.writer import BatchWriter
        from evobourse.market.exchange import Exchange
        from evobourse.market.instruments import Instrument
        from evobourse.market.session import SessionRules
        from evobourse.market.tape.journal import TapeJournal, describe_instruments
        from evobourse.market.tape.recorder import MemoryRecorder

        writer = BatchWriter(engine or shared_engine)
        expert = np.eye(STYLES, dtype=np.float32)[None, 1]
        views = np.array([0, 1, 7, 40])
        thinker = Thinker(writer, writer, expert, settings, views, on_stage)
        rng, arrival = np.random.default_rng(seed).spawn(2)
        crowd = DeliberateCrowd(population, thinker, offsets, agents, rng, len(turns))
        endowed = crowd.accounts()
        exchange = Exchange(
            [Instrument("stock")],
            [history],
            [crowd],
            endowed.cash_cents,
            endowed.shares[:, None],
            arrival,
            SessionRules(turns),
            events,
        )
        sink = MemoryRecorder(describe_instruments(exchange))
        exchange.keep(TapeJournal(sink))
        exchange.run(days, on_day and (lambda day: on_day(day, crowd)))
        return crowd, sink.tape()

    return run
