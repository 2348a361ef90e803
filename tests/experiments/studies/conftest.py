"""A small population, opened: the teachers' rules answer for its two personas."""

from types import SimpleNamespace

import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.bundle import Bundle, Reference
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.market.rules import MarketRules
from evobourse.merge.sources import adapter_folders


@pytest.fixture(scope="session")
def opened(population, offsets, sp500):
    from evobourse.experiments.sweep.setup import SHIPPED

    styles = ("momentum", "news-driven")
    folders = {folder.name: folder for folder in adapter_folders(SHIPPED / "adapters")}
    who = population([[0.0, 1.0], [1.0, 0.0]], attention=2, momentary_mask=0.0)
    past = history_ticks(sp500.close[:1000])
    nothing = Reference(0, 0, 0, "")
    adapters = tuple(folders[style] for style in styles)
    bundle = Bundle(
        "b", "", "", 1, None, adapters, (), who, offsets, MarketRules(fee_bps=5), past, nothing
    )
    minds = TeacherMinds(styles)
    minds.counters = SimpleNamespace(computed=0)
    return OpenPopulation(bundle, minds, Encoding())
