"""A whole sweep whose one base is a server: its cap, a kill, and not one question asked twice."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evobourse.evolve.errors import RunError
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.sweep.resume import open_run, start_run
from tests.held_sweep import kill_when

ROOT = Path(__file__).parents[3]
SETTINGS = [
    "personas=[{name: rider, style: momentum}]",
    "minds.recipe_blocks=0",
    "minds.attention=1",
    "minds.endpoint.timeout_seconds=600",
    "market.agents=10",
    "market.days=60",
    "market.paths=2",
    "search.generations=2",
    "search.cross.slow_count=2",
    "search.cross.slow_every=2",
    "search.cross.sigma_slow=0.8",  # far enough for one proposal to have other words
    "search.cross.fast_count=2",
    "selection.champions=1",
    "selection.validation_groups=2",
    "selection.heldout_groups=2",
    "workers=1",
]
VIEWS = 23  # with one sign to see, and without any


@pytest.fixture
def evobourse(server, tmp_path):
    """Start a command about a run; `finish` it for its exit code and what it said."""
    server.reset()
    url = server.base("?top=2000")
    first = [*SETTINGS, f"minds.base={url}", "minds.memo=answers.sqlite"]

    def start(*arguments: str) -> subprocess.Popen[str]:
        if arguments[0] == "evolve":
            config = str(ROOT / "experiments" / "quickstart.yaml")
            sets = [part for value in first for part in ("--set", value)]
            arguments = ("evolve", config, *arguments[1:], *sets)
        return subprocess.Popen(
            [sys.executable, "-m", "evobourse.experiments.cli.main", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process: subprocess.Popen[str], code: int) -> str:
    printed, said = process.communicate(timeout=600)
    assert process.returncode == code, printed + said
    return said


def test_a_sweep_over_a_server_survives_its_cap_and_a_kill_and_asks_nothing_twice(
    server, evobourse, tmp_path
) -> None:
    lineage = tmp_path / "run" / "lineage.jsonl"
    cap = VIEWS + 5
    capped = ("--set", f"minds.endpoint.max_requests={cap}")
    said = finish(evobourse("evolve", "--run", "run", *capped), 1)
    assert said.count("\n") == 1
    assert f"minds.endpoint.max_requests is {cap}: {cap} requests and" in said
    assert "raise it and run the command again: what was answered is remembered" in said
    assert server.requests == cap
    first = lineage.read_text()
    assert {json.loads(line)["generation"] for line in first.splitlines()} == {0}

    server.answers = cap + 4  # the next is left waiting
    more = ("--set", "minds.endpoint.max_requests=null", "--set", "minds.endpoint.concurrency=1")
    killed = evobourse("resume", "run", *more)
    kill_when(lambda: server.requests >= cap + 5, killed)
    server.answers = math.inf
    assert lineage.read_text() == first

    finish(evobourse("resume", "run"), 0)
    prompts = set(server.prompts)
    assert len(prompts) == 2 * VIEWS  # the words of the mean, and those of one proposal
    # Only what was under way at the kill, one question at a time, or just back, is asked again.
    assert len(server.prompts) <= len(prompts) + 2
    whole = lineage.read_bytes()
    assert whole.startswith(first.encode())
    assert (tmp_path / "run" / "bundle" / "hashes.json").stat().st_size > 0

    asked, again = server.requests, tmp_path / "again" / "lineage.jsonl"
    finish(evobourse("evolve", "--run", "again"), 0)
    assert again.read_bytes() == whole
    assert server.requests == asked
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match="holds a run with another config"):
        start_run(open_run(run, ["market.agents=20"]), run)
