"""What a person sees in a terminal: help, refusals, hints, interrupts; nothing heavy is loaded."""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evobourse import __version__
from evobourse.evolve.errors import RunError
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder, require_bundle
from evobourse.experiments.cli.main import COMMANDS, app
from evobourse.experiments.cli.options import typed
from evobourse.experiments.config.experiment import load_config

ROOT = Path(__file__).parents[3]
HEAVY = tuple(
    ["torch", "transformers", "numpy", "pandas", "numba", "scipy", "matplotlib", "mlflow", "optuna"]
)
LIGHT = f"""
import contextlib, io, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Refuse())
from evobourse.experiments.cli.main import main
told = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["evobourse", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            told.append([end.code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


def light(cwd, *commands, **environment):
    """Run commands in one process that can import nothing heavy: code, stdout, stderr of each."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, json.dumps(commands)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_wrong_paths_are_refused_in_one_line_before_anything_heavy_is_imported(tmp_path):
    commands = [
        ["resume", "nothing"],
        ["lineage", "nothing"],
        ["track", "nothing"],
        ["compare", "nothing", "other"],
        ["evolve", "nothing.yaml"],
        ["tune", "nothing.yaml", "--vary", "a=1:2"],
        ["train-styles", "nothing.yaml"],
        ["simulate", "nothing"],
        ["behaviour", "nothing"],
        ["response", "nothing"],
        ["robust", "nothing"],
        ["export", "nothing"],
        ["report", "nothing"],
        ["merge", "nothing.yaml"],
        ["plan", "--config", "nothing.yaml"],
    ]
    for command, (code, out, err) in zip(commands, light(tmp_path, *commands), strict=True):
        assert code == 2, command
        [line] = err.strip().splitlines()
        assert line.startswith("evobourse: nothing"), line
        assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_help_of_every_command_needs_nothing_heavy(tmp_path):
    names = [command.__name__.replace("_", "-") for group in COMMANDS.values() for command in group]
    told = light(tmp_path, ["--help"], ["--version"], *([name, "--help"] for name in names))
    assert [code for code, _, _ in told] == [0] * len(told)
    listed, version, *shown = (out for _, out, _ in told)
    assert version == f"evobourse {__version__}\n"
    for group in COMMANDS:
        assert f" {group} " in listed
    for name, text in zip(names, shown, strict=True):
        assert name in listed
        assert f"Example: evobourse {name}" in re.sub(r"\s+", " ", text)
        assert "--quiet" in text
        assert "--json" in text


def test_no_color_is_heeded_and_a_word_is_completed(tmp_path):
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    [[_, coloured, _]] = light(tmp_path, ["--help"], FORCE_COLOR="1")
    [[_, plain, _]] = light(tmp_path, ["--help"], FORCE_COLOR="1", NO_COLOR="1")
    assert colour.search(coloured)
    assert not colour.search(plain)
    words = {"COMP_WORDS": "evobourse sim", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'evobourse'\n" + START],
        env={**os.environ, **words, "_EVOBOURSE_COMPLETE": "complete_bash"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["simulate"]


START = "from evobourse.experiments.cli.main import main\nmain()"


def test_a_bundle_inside_a_run_is_named(tmp_path):
    (tmp_path / "bundle").mkdir()
    with pytest.raises(RunError, match=r"no bundle there .*; name .*/bundle$"):
        require_bundle(tmp_path)


@pytest.fixture
def run(tmp_path):
    """Write a run of 300 generations whose folder has a space in its name."""
    folder = RunFolder(tmp_path / "my run")
    folder.path.mkdir()
    folder.config.write_text(load_config("quickstart").to_yaml())
    genes = {f"gene_{n}": 0.0 for n in range(40)}
    lineage = Lineage(folder.lineage)
    lineage.append(
        [
            Candidate(
                f"g{n:03d}-s00-f00",
                n,
                ((f"g{n - 1:03d}-s00-f00", 1.0),) if n else (),
                {"society": {**genes, "gene_0": float(n)}},
                None,
                (1,),
                500.0 - n,
                {},
                None,
            )
            for n in range(300)
        ]
    )
    return folder


def test_a_page_follows_a_running_sweep_until_it_has_a_champion(run, monkeypatch):
    pages, opened = [], []

    def sleep(seconds):
        """Play the sweep: a generation more, then its champion."""
        pages.append(run.lineage_page.read_text())
        if len(pages) == 1:
            genes = {"society": dict.fromkeys([f"gene_{n}" for n in range(40)], 1.0)}
            Lineage(run.lineage).append(
                [Candidate("g300", 300, (), genes, None, (1,), 0.5, {}, None)]
            )
        elif len(pages) == 3:
            run.champion.write_text(json.dumps({"champion": "g300"}))

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(typer, "launch", opened.append)
    done = CliRunner().invoke(app, ["lineage", str(run), "--open", "--follow"])
    assert done.exit_code == 0, done.output
    assert opened == [run.lineage_page.as_uri()]
    assert ['"g300"' in page for page in pages] == [False, True, True]
    assert all('"reload":5' in page for page in pages)
    last = run.lineage_page.read_text()
    assert '"reload":0' in last
    assert "the champion" in last


def test_plain_adapters_are_of_models_alone(tmp_path):
    command = ["export", str(tmp_path), "--to", "pams", "--plain-lora"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "leave it out with --to pams" in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_lineage_is_told_in_fifteen_lines(run):
    done = CliRunner().invoke(app, ["lineage", str(run)], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) <= 15
    assert "g000 to g299" in lines[0]
    [page] = [line for line in lines if line.startswith("page")]
    assert page.split()[-1] == run.lineage_page.as_uri()
    assert run.lineage_page.is_file()
    [typed_line] = [line for line in lines if line.startswith("mlflow")]
    assert shlex.split(typed_line)[-1] == f"sqlite:///{run.mlflow}"
    quiet = CliRunner().invoke(app, ["lineage", str(run), "--quiet"], env={"COLUMNS": "80"})
    assert lines[: len(quiet.stdout.splitlines())] == quiet.stdout.splitlines()
    assert "page" not in quiet.stdout


def test_a_command_is_written_as_a_shell_reads_it():
    words = ["evobourse", "simulate", Path("my runs/a [1]/bundle"), "--agents", 1000]
    assert shlex.split(typed(*words)) == list(map(str, words))


def test_a_finished_run_shows_its_results_without_working_again(run, monkeypatch):
    rows = [{"name": "evolved", "asset": "sp500", "split": "heldout", "score": 0.5}]
    rows = [{**row, "ci_low": 0.4, "ci_high": 0.6, "p_holm": 1.0, "seeds": 4} for row in rows]
    run.scoreboard.write_text(json.dumps(rows))
    run.stopped.write_text('{"reason": "all 300 generations are done"}')
    run.champion.write_text('{"champion": "g299-s00-f00"}')
    run.report.write_bytes(b"")
    run.bundle.mkdir()
    (run.bundle / "hashes.json").write_text("{}")

    def work(*arguments):
        raise AssertionError("the sweep began again")

    monkeypatch.setattr("evobourse.experiments.cli.progress.watch_sweep", work)
    done = CliRunner().invoke(app, ["resume", str(run)], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert "0.50 [0.40, 0.60]" in done.stdout
    assert "champion g299-s00-f00; the search has ended: all 300" in done.stdout
    as_json = CliRunner().invoke(app, ["resume", str(run), "--json"])
    assert json.loads(as_json.stdout) == rows
    run.stopped.unlink()
    assert isinstance(CliRunner().invoke(app, ["resume", str(run)]).exception, AssertionError)


def test_an_interrupt_is_answered_within_a_long_call(tmp_path):
    script = f"""
import hashlib
from evobourse.experiments.cli.interrupt import acknowledge_interrupts
with acknowledge_interrupts():
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", {_seconds_of_work(20)})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A job in the background inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline() == b"busy\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        os.set_blocking(process.stderr.fileno(), False)
        end = time.monotonic() + 10
        heard = b""
        while not heard and time.monotonic() < end:
            heard = process.stderr.read() or b""
            time.sleep(0.02)
        assert b"interrupted" in heard
        assert process.poll() is None  # the call itself goes on
    finally:
        process.kill()
        process.communicate()


def _seconds_of_work(seconds):
    """Return how many rounds of a hash, one call into C, take so long."""
    began = time.perf_counter()
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 100_000)
    return int(100_000 * seconds / (time.perf_counter() - began))
