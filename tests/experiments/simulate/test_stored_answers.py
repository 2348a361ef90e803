"""A bundle with answers trades where no model can be loaded; asked again, the model is compared."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stored_answers import gather_answers
from evobourse.evolve.bases.stand_ins import ServedTeachers, TeacherBases
from evobourse.evolve.bundle import ANSWERS, Bundle, Reference, load_bundle, write_bundle
from evobourse.evolve.errors import RunError
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.cli.main import app
from evobourse.experiments.simulate.agreement import compare_answers
from evobourse.market.rules import MarketRules

ROOT = Path(__file__).parents[3]
STYLES = ("momentum", "contrarian")
AGENTS, DAYS = 40, 30
BLOCKED = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "mergekit", "peft"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Refuse())
from evobourse.experiments.cli.main import main
main()
"""


@pytest.fixture
def bundle(population, offsets, sp500):
    """A bundle of rules that stand in for a model, with the tape that they make."""
    who = population([[0.0, 1.0], [1.0, 0.0]], attention=1)
    past, minds = history_ticks(sp500.close[:1000]), ServedTeachers(STYLES)
    rules = MarketRules(fee_bps=5)
    [choices] = tabulate_choices([who], minds)
    tape = play_market(World(offsets, rules, AGENTS, DAYS), (who, past, 1), choices, "full")
    made = Reference(AGENTS, DAYS, 1, tape.digest())
    base = TeacherBases(STYLES).base_hash
    whole = Bundle("b", "teachers", base, 1, None, (), (), who, offsets, rules, past, made)
    return replace(whole, answers=gather_answers(who, minds))


@pytest.fixture
def folder(bundle, tmp_path):
    write_bundle(tmp_path / "bundle", bundle, 30, [], "card")
    return tmp_path / "bundle"


def blocked(*arguments, cwd):
    """Run the command where neither torch nor transformers can be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_makes_the_models_tape_without_torch(folder, tmp_path):
    size = ("--agents", AGENTS, "--days", DAYS, "--seed", 1)
    done = blocked("simulate", folder, *size, "--out", "tape", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["reference"] is True
    assert told["forward_passes"] == 0
    assert (tmp_path / "tape" / "prices.png").stat().st_size > 0
    (tmp_path / "shock.yaml").write_text("turns: [call]\n")
    place = ("--scenario", "shock.yaml", "--out", "placed")
    done = blocked("simulate", folder, *size, *place, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["trades"] > 0


def test_without_answers_it_needs_the_model(bundle, tmp_path):
    write_bundle(tmp_path / "bundle", replace(bundle, answers=None), 30, [], "card")
    assert load_bundle(tmp_path / "bundle").answers is None
    done = blocked("simulate", "bundle", "--out", "tape", cwd=tmp_path)
    assert "torch is blocked" in done.stderr


def test_a_changed_byte_is_one_line_and_exit_code_2(folder, tmp_path):
    file = folder / ANSWERS
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(bytes(changed))
    done = blocked("simulate", folder, "--out", "tape", cwd=tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.strip().splitlines()
    assert f"{ANSWERS} was changed since the export" in line
    assert not (tmp_path / "tape").exists()


def test_a_wrong_path_is_refused_without_torch(tmp_path):
    done = blocked("simulate", "nothing", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_asked_again_the_same_model_gives_the_same_bits(bundle):
    agreement = compare_answers(bundle, ServedTeachers(STYLES))
    assert agreement.explained
    assert agreement.worst.logits == 0
    assert "the same bits" in agreement.tell()


@pytest.mark.parametrize(
    ("shift", "arithmetic", "explained"),
    [
        (0.05, "teachers", False),  # on one arithmetic, any difference is one too many
        (0.05, "another chip", True),
        (5.0, "another chip", False),
    ],
)
def test_asked_again_a_difference_is_named(bundle, shift, arithmetic, explained):
    view = 3

    class Shifted(ServedTeachers):
        def scope(self, mind):
            return {**super().scope(mind), "engine": arithmetic}

        def answer(self, mind, views):
            found = super().answer(mind, views)
            if mind[0, 0] == 1.0:
                found[views == view, 4] += np.float32(shift)
            return found

    agreement = compare_answers(bundle, Shifted(STYLES))
    assert agreement.explained == explained
    assert agreement.worst.persona == "p1"
    assert agreement.worst.view == "flat"
    assert "p1, seeing flat" in agreement.tell()
    assert agreement.worst.logits == pytest.approx(shift, rel=1e-4)


def test_answers_of_other_minds_are_not_compared(bundle, population):
    others = replace(bundle, population=population([[0.25, 0.75]], attention=1))
    with pytest.raises(RunError, match="not those of persona 'p0'"):
        compare_answers(others, ServedTeachers(STYLES))
    with pytest.raises(RunError, match="carries no answers"):
        compare_answers(replace(bundle, answers=None), ServedTeachers(STYLES))


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_the_command_asks_again_and_leaves_with_1(shift, folder, monkeypatch, tmp_path):
    class Shifted(ServedTeachers):
        def answer(self, mind, views):
            return super().answer(mind, views) + np.float32(shift) * np.eye(5, dtype="f4")[0]

    class Bases(TeacherBases):
        def serve(self, recipe):
            return Shifted(STYLES)

    monkeypatch.setattr(Bundle, "open_bases", lambda self: Bases(STYLES))
    size = ["--agents", str(AGENTS), "--days", str(DAYS), "--out", str(tmp_path / "tape")]
    done = CliRunner().invoke(app, ["simulate", str(folder), *size, "--ask-again", "--json"])
    if shift:
        assert done.exit_code == 1
        assert "no arithmetic explains so much" in done.stderr
        assert "p0" in done.stderr
    else:
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["ask_again"]["explained"] is True
