"""The society that was set by hand, where a bundle or a config could be named."""

from types import SimpleNamespace

import pytest

from evobourse.agents.encodings.encoding import Encoding
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.simulate import bundle as opening
from evobourse.experiments.simulate.hand_set import BY_HAND, HAND_SET, ON, set_by_hand
from evobourse.experiments.sweep.setup import build_experiment


def test_it_has_the_quickstarts_personas_and_minds_in_another_society(monkeypatch):
    experiment = build_experiment(load_config("quickstart"))
    genome = experiment.market_genome
    start = genome.population(genome.genome().to_values(genome.genome().start_vector()))
    nothing = dict.fromkeys(Bundle.__dataclass_fields__)
    begun = Bundle(**{**nothing, "name": "quickstart", "population": start})
    bases = SimpleNamespace(serve=lambda recipe: "minds")
    files = []
    monkeypatch.setattr(
        opening, "begin", lambda file, overrides: files.append(file) or (begun, bases, Encoding())
    )
    found = opening.open_population(HAND_SET)
    assert [file.name for file in files] == ["quickstart.yaml"]
    assert found.minds == "minds"
    assert found.bundle.name == HAND_SET
    own = found.bundle.population
    assert own == set_by_hand(experiment)
    assert vars(own.society.mechanisms) == pytest.approx(vars(ON))  # by way of the genes
    assert [p.name for p in own.personas] == [p.name for p in start.personas]
    for mine, theirs in zip(own.personas, start.personas, strict=True):
        assert mine.mixture == theirs.mixture
        assert mine.share == pytest.approx(BY_HAND.get(f"share_{mine.name}", theirs.share))
    assert own.society.aggressiveness == pytest.approx(BY_HAND["aggressiveness"])
