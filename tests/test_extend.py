"""docs/extend.md: each errand done in a copy of the packages, by its recipe and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from evobourse.market.crowds.market_maker import MakerRule, MarketMakers
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

ROOT = Path(__file__).parents[1]
PACKAGES = ("market", "merge", "fitness", "agents", "evolve", "experiments")
EXTEND = (ROOT / "docs" / "extend.md").read_text()


def recipe(errand):
    """Return the code that the recipe of an errand says to write, a block a place."""
    section = re.search(rf"^## {errand}\n(.*?)(?=^## |\Z)", EXTEND, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", section[1], re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in blocks]


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

    def insert(self, file, text, after, below=""):
        """Put text, indented as what stands there, behind the only line that begins so.

        With ``below`` it is the first such line below the one that begins with that.
        """
        lines = (self.folder / file).read_text().splitlines(keepends=True)
        first = next(n for n, line in enumerate(lines) if line.lstrip().startswith(below))
        found = [
            n for n, line in enumerate(lines) if n >= first and line.lstrip().startswith(after)
        ]
        assert below or len(found) == 1
        at = found[0]
        margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines[at + 1 : at + 1] = [margin + line for line in text.splitlines(keepends=True)]
        (self.folder / file).write_text("".join(lines))

    def add(self, file, text):
        """Write a new file."""
        assert not (self.folder / file).exists()
        (self.folder / file).write_text(text)

    def replace(self, file, line, text):
        """Put text, indented as the only line that begins so, in that line's place."""
        self.insert(file, text, after=line)
        lines = (self.folder / file).read_text().splitlines(keepends=True)
        kept = [old for old in lines if not old.lstrip().startswith(line)]
        assert len(kept) == len(lines) - 1
        (self.folder / file).write_text("".join(kept))

    def evobourse(self, *arguments):
        """Run the command line of this copy; return its exit code, output and errors."""
        env = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        command = [sys.executable, "-m", "evobourse.experiments.cli.main", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

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
    copy.insert("agents/masks.py", draw, after="hidden = np.full(_FIELDS")
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


def test_a_study(copy):
    [code] = recipe("A study")
    copy.add("experiments/studies/drift.py", code)
    code, listed, _ = copy.evobourse("study", "--list", "--json")
    assert code == 0
    assert "drift" in [row["name"] for row in json.loads(listed)]
    code, printed, said = copy.evobourse("study", "drift", "--set", "days=500", "--out", "d.md")
    assert (code, "Traceback" in said) == (0, False)
    figure = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    assert -1 < figure["value"] < 1
    page = (copy.folder / "d.md").read_text()
    assert "Written by `evobourse study drift --set days=500" in page
    assert "in 500 days" in page
    code, _, said = copy.evobourse("study", "drift", "--set", "dayz=500")
    assert (code, len(said.splitlines())) == (2, 1)
    assert "days" in said


MERGE = """
import json
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.merge.recipes.recipe import merge_recipe

sizes = dict(hidden_size=16, intermediate_size=32, num_attention_heads=2, num_key_value_heads=2)
config = LlamaConfig(vocab_size=64, num_hidden_layers=2, **sizes)
torch.manual_seed(0)
states = {name: LlamaForCausalLM(config).state_dict() for name in ("base", "one", "two")}
cast = (PersonaStart("momentum", "of a test", "momentum"),)
genome = MarketGenome(cast, ("momentum",), 1, "base", ("one", "two"), 2, attention=6)
values = genome.genome().to_values(genome.genome().start_vector())

def merged(**genes):
    recipe = genome.recipe({**values, "recipe": {**values["recipe"], **genes}})
    state = merge_recipe(recipe, states["base"], {n: states[n] for n in ("one", "two")})
    first = "model.layers.0.self_attn.q_proj.weight"
    return recipe.method, state[first].flatten()[:40].tolist()
print(json.dumps([list(values["recipe"]), merged(), merged(density_b0_one=0.3)]))
"""


def test_a_merge_method_in_a_sweep(copy):
    genes, method = recipe("A merge method in a sweep")
    market = "evolve/genomes/market.py"
    copy.replace(market, 'return Recipe("task_arithmetic"', method)
    copy.insert(market, genes, after="]", below="recipe = [")
    names, (first, start), (_, thinned) = copy.run(MERGE)
    assert [name for name in names if name.startswith("density")] == [
        f"density_b{block}_{source}" for block in (0, 1) for source in ("one", "two")
    ]
    assert first == "ties"
    assert start != thinned


def test_a_command(copy):
    command, imported, added = recipe("A command")
    copy.add("experiments/cli/drifts.py", command)
    main = "experiments/cli/main.py"
    copy.insert(main, imported, after="from evobourse.experiments.cli import configs")
    copy.insert(main, added, after="app = typer.Typer(")
    code, helped, _ = copy.evobourse("drift", "--help")
    assert code == 0
    assert "Example: evobourse drift sp500" in helped
    code, printed, _ = copy.evobourse("drift", "sp500")
    assert code == 0
    assert "in log" in printed
    code, _, said = copy.evobourse("drift", "nowhere.csv")
    assert (code, len(said.splitlines())) == (2, 1)


def test_a_rule_based_crowd():
    [code] = recipe("A rule-based crowd")
    written: dict = {}
    exec(compile(code, "reversers.py", "exec"), written)
    of_noise, of_arrival = np.random.default_rng(1).spawn(2)
    exchange = Exchange(
        [Instrument("stock")],
        [np.array([10_000, 10_050])],
        [
            MarketMakers(MakerRule(), np.full(3, 500)),
            NoiseTraders(NoiseFlow(limit_orders=20.0, market_orders=8.0), 30, of_noise),
            written["Reversers"](4, 5),
        ],
        cash_cents=np.full(37, 20_000_000),
        position=np.full((37, 1), 500),
        rng=of_arrival,
        rules=SessionRules(("call", "continuous", "call")),
    )
    exchange.run(10)
    held = exchange.ledger.position[:, 0]
    assert held.sum() == 37 * 500  # nothing comes from nowhere
    assert any(held[-4:] != 500)
