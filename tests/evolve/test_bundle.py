"""A bundle brings its society with it."""

import numpy as np
import pytest
import yaml

from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.personas.mechanisms import OFF, Mechanisms
from evobourse.agents.personas.social import Social
from evobourse.evolve.bundle import Bundle, Reference, load_bundle, write_bundle
from evobourse.evolve.errors import RunError
from evobourse.market.rules import MarketRules


@pytest.fixture
def write(population, style_folders, tmp_path):
    """Write a bundle of one persona with a society, and return its folder and population."""

    def build(social, mechanisms=OFF):
        people = population([[0.5, 0.25, 0.0]], social=social, mechanisms=mechanisms)
        folder = tmp_path / "bundle"
        bundle = Bundle(
            "b",
            "base",
            "0" * 64,
            1,
            None,
            tuple(style_folders.values()),
            (),
            people,
            OffsetClusters((1.0,), (0.0,), (1.0,)),
            MarketRules(),
            np.arange(1, 300),
            Reference(1, 1, 1, ""),
        )
        write_bundle(folder, bundle, 30, [], "card")
        return folder, people

    return build


@pytest.mark.parametrize("social", [None, Social(link_threshold=0.3, reads=7)])
def test_a_population_comes_back_with_its_society(social, write):
    folder, people = write(social)
    assert load_bundle(folder).population == people
    said = yaml.safe_load((folder / "simulator.yaml").read_text())["society"]
    assert ("social" in said) == (social is not None)  # without, the file is what it was


def test_mechanisms_travel_and_those_off_leave_the_file_as_it_was(write):
    folder, people = write(None, Mechanisms(two_sided=0.7))
    assert load_bundle(folder).population == people
    folder, _ = write(None)
    assert "mechanisms" not in yaml.safe_load((folder / "simulator.yaml").read_text())["society"]


def test_a_society_that_cannot_be_is_refused(write):
    folder, _ = write(Social())
    file = folder / "simulator.yaml"
    file.write_text(file.read_text().replace("reads: 5", "reads: 0"))
    (folder / "hashes.json").write_text("{}")
    with pytest.raises(RunError, match=r"reads is 0, expected 1 to 1,000"):
        load_bundle(folder)
