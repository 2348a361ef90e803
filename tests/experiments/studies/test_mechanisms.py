"""Each mechanism on and off, at a small size, and its page."""

import numpy as np
import pytest

from evobourse.agents.personas.mechanisms import DETAILS, OFF, bounds
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.mechanisms import (
    BY_HAND,
    ON,
    SPLITS,
    Settings,
    measure_real,
    run,
    set_by_hand,
    vary,
    with_mechanisms,
)
from evobourse.experiments.sweep.setup import build_experiment

SMALL = ("market.agents=40", "market.days=60", "market.paths=2", "workers=1")
NAMES = [name for name in bounds() if name not in DETAILS]


@pytest.fixture(scope="module")
def experiment():
    return build_experiment(load_config("quickstart", SMALL))


def test_one_mechanism_is_switched_at_a_time(experiment):
    start = set_by_hand(experiment)
    variants = vary(start)
    assert len(variants) == 2 + 2 * len(NAMES)
    on = {name: set(one.society.mechanisms.on) - set(DETAILS) for name, one in variants.items()}
    assert (on["with none"], on["with all"]) == (set(), set(NAMES))
    for name in NAMES:
        assert on[f"{name} alone"] == {name}
        assert on[f"with all but {name}"] == set(NAMES) - {name}
    assert {one.personas for one in variants.values()} == {start.personas}


def test_the_society_set_by_hand_lies_within_the_genes_bounds(experiment):
    genome = with_mechanisms(experiment, ON).genome()
    values = genome.to_values(genome.start_vector())
    given = {"society": {**values["society"], **BY_HAND}}
    found = genome.to_values(genome.to_vector(given))["society"]
    assert found == pytest.approx(given["society"])


def test_only_the_society_is_searched(experiment):
    for mechanisms in (ON, OFF):
        genome = with_mechanisms(experiment, mechanisms)
        assert [segment.name for segment in genome.genome().segments] == ["society"]
        values = genome.genome().to_values(genome.genome().start_vector())
        mixtures = np.array([persona.mixture for persona in genome.population(values).personas])
        assert set(np.unique(mixtures.round(3))) == {0.0, 0.9}


def test_real_volume_rises_with_volatility(experiment):
    real = measure_real(experiment, experiment.splits.train)
    assert 0.0 < real.moments["volume_volatility"].mean() < 0.6
    assert np.isnan(real.scores).all()


def test_the_page_has_a_row_a_population_and_the_society_that_was_found():
    settings = Settings(paths=2, generations=1, candidates=4, market=SMALL)
    text = run(settings, Report("mechanisms", "evobourse study mechanisms")).text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    each = 1 + 1 + (2 + 2 * len(NAMES)) + (3 + len(NAMES))  # heading, real, by hand, evolved
    assert len(rows) == each * len(SPLITS)
    assert "two_sided" in text.split("## The society that was found with all")[1]
    assert len(text.split("```yaml")) == 3
