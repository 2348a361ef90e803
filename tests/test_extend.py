"""docs/extend.md: each errand done in a copy of the packages, by its recipe and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("market", "merge", "fitness", "agents", "evolve", "experiments")
EXTEND = (ROOT / "docs" / "extend.md").read_text()


def recipe(errand):
    """Return the code that the recipe of an errand says to write, a block a place."""
    section = re.search(rf"^## {errand}\n(.*?)(?=^## |\Z)", EXTEND, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```python\n(.*?)^```", section[1], re.DOTALL | re.MULTILINE)


class Copy:
    """The packages in a folder of their own, to be changed."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "evobourse").mkdir()
        shutil.copy(ROOT / "evobourse" / "__init__.py", folder / "evobourse")
        for package in PACKAGES:
            for file in (ROOT / package).rglob("*.py"):
                target = folder / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
            (folder / "evobourse" / package).symlink_to(Path("..") / package)

    def insert(self, file, text, after):
        """Put text, indented as what stands there, behind the only line that begins so."""
        lines = (self.folder / file).read_text().splitlines(keepends=True)
        [at] = [n for n, line in enumerate(lines) if line.lstrip().startswith(after)]
        margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines[at + 1 : at + 1] = [margin + line for line in text.splitlines(keepends=True)]
        (self.folder / file).write_text("".join(lines))

    def run(self, code):
        """Run a script that prints JSON, on this copy; markets are tiny, so nothing is compiled."""
        env = {**os.environ, "PYTHONPATH": str(self.folder), "NUMBA_DISABLE_JIT": "1"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


MARKET = """
import json, sys
import numpy as np
import evobourse.agents
from evobourse.agents.crowds.offsets import OffsetClusters
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import FIELD_NAMES, decode_view
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.evolve.markets import World, play_market
from evobourse.market.rules import MarketRules

DAYS, AGENTS = 30, 40
styles = ("momentum", "value")
cast = tuple(PersonaStart(style, "of a test", style) for style in styles)
genome = MarketGenome(cast, styles, 1, "base", (), 1, attention=6)
values = genome.genome().to_values(genome.genome().start_vector())

def play(**genes):
    people = genome.population({**values, "society": {**values["society"], **genes}})
    [choices] = tabulate_choices([people], TeacherMinds(styles))
    world = World(OffsetClusters((1.0,), (0.0,), (1.0,)), MarketRules(), AGENTS, DAYS)
    steps = np.random.default_rng(0).normal(0, 0.01, 300)
    history = np.rint(10_000 * np.exp(steps.cumsum() - steps.sum())).astype(np.int64)
    tape = play_market(world, (people, history, 1), choices, "full")
    seen = decode_view(tape.decisions["view"].to_numpy()).reshape(DAYS, AGENTS, -1) >= 0
    shown = {name: seen[..., at].sum(axis=1).tolist() for at, name in enumerate(FIELD_NAMES)}
    return {"digest": tape.digest(), "shown": shown}
"""


def test_a_mask(copy):
    play = MARKET + "print(json.dumps([evobourse.agents.__path__[0], play()]))"
    place, before = copy.run(play)
    assert Path(place).resolve() == (copy.folder / "agents").resolve()
    probability, draw, gene = recipe("A mask")
    copy.insert("agents/masks.py", probability, after="momentary_mask: float")
    copy.insert("agents/masks.py", draw, after="hidden = uniform < masks.momentary_mask")
    gene = gene.rstrip() + ",\n"
    copy.insert("evolve/genomes/market.py", gene, after='Gene("momentary_mask"')
    code = """
open_eyed = genome.population(values).society.unmasked()
plays = [play(blackout=p) for p in (0.0, 0.5, 1.0)]
print(json.dumps([*plays, values["society"]["blackout"], open_eyed.blackout]))
"""
    without, sometimes, always, start, unmasked = copy.run(MARKET + code)
    assert without == before  # whom the mask hides nothing from plays as ever
    assert unmasked == 0.0 <= start < 0.02
    assert not any(always["shown"]["news"])
    assert min(always["shown"]["trend"]) > 0
    dark = sum(count == 0 for count in sometimes["shown"]["news"])
    assert 5 <= dark <= 25
    assert all(count == 0 or count > 10 for count in sometimes["shown"]["news"])
