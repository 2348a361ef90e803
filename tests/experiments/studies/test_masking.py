"""Mask rates on real windows, the teachers' rules as minds."""

from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import FIELD_NAMES
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import World
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.studies.masking import judge, measure, table, vary_masks
from evobourse.market.rules import MarketRules

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
SMALL = ("market.agents=40", "market.days=60", "market.paths=2", "workers=1")


@pytest.fixture(scope="module")
def bundle(population, offsets, sp500):
    nothing = dict.fromkeys(Bundle.__dataclass_fields__)
    given = {
        "population": population([[0.0, 1.0], [1.0, 0.0]], attention=2, momentary_mask=0.3),
        "offsets": offsets,
        "rules": MarketRules(),
        "history": history_ticks(sp500.close[:1000]),
    }
    return Bundle(**{**nothing, **given})


@pytest.fixture(scope="module")
def variants(bundle):
    minds = TeacherMinds(("momentum", "news-driven"))
    return vary_masks(bundle.population, lambda: minds)


def test_one_kind_of_mask_is_varied_at_a_time(bundle, variants):
    assert variants[0].population is bundle.population
    assert len({variant.name for variant in variants}) == len(variants) == 10
    for variant in variants[1:]:
        society = variant.population.society
        [rate] = set(society.mask.values())
        assert set(society.mask) == set(FIELD_NAMES)
        assert variant.name in (f"lasting {rate}", f"momentary {society.momentary_mask}")
        assert not (rate and society.momentary_mask)
        assert variant.population.personas == bundle.population.personas


def test_scores_and_behaviour_stand_in_one_row_a_rate(bundle, variants):
    world = World(bundle.offsets, bundle.rules, 60, 60)
    few = (variants[0], variants[1], variants[5])
    standings = judge(load_config(QUICKSTART, SMALL), bundle, few, 2)
    behaviour = {variant.name: measure(bundle, variant, world, 12) for variant in few}
    open_eyed, masked = behaviour["lasting 0.0"], behaviour["lasting 0.8"]
    assert open_eyed.shape == (12, 3)
    # Personas that see little are more alone in what they do: on average, not in each market.
    assert masked[:, 0].mean() > open_eyed[:, 0].mean()
    assert (masked[:, 2] > 0).all()
    assert all((rows[:, 0] <= 2 + 1e-9).all() for rows in behaviour.values())  # two personas
    rows = table(standings, behaviour).splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["its own", "lasting 0.0", "lasting 0.8"]
    assert rows[0].split("|")[3].strip() == ""
    assert all(np.isfinite(standing.row["score"]) for standing in standings.values())
    assert len(standings) == 6
