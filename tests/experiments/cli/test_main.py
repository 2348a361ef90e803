"""The commands as a person types them: real processes, real model, real prices."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.held_sweep import held, kill_when

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"
SMALL = [
    "search.generations=3",
    "search.cross.slow_count=2",
    "search.cross.slow_every=2",
    "search.cross.fast_count=3",
    "selection.champions=2",
    "selection.validation_groups=2",
    "selection.heldout_groups=2",
    "market.agents=40",
    "market.days=60",
    "market.paths=2",
    "minds.attention=1",
]
LINEAGE = "72916586c76df9e5365972321881ac19f4265f4bf881ff70723ee8009167546b"
"""sha256 of that sweep's lineage, on every processor and number of threads (decision 123)."""

OVERRIDES = [part for value in SMALL for part in ("--set", value)]


def evobourse(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evobourse.experiments.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run one small sweep without interruption, in two workers: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("sweep")
    two = ("--set", "workers=2")
    done = evobourse("evolve", str(QUICKSTART), "--run", "run", *OVERRIDES, *two, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.mark.slow
def test_a_sweep_leaves_every_file_and_names_the_next_commands(
    finished: tuple[Path, str],
) -> None:
    folder, printed = finished
    run = folder / "run"
    for name in ("config.yaml", "lineage.jsonl", "champion.json", "scoreboard.json", "report.png"):
        assert (run / name).stat().st_size > 0
    for name in ("simulator.yaml", "personas.yaml", "recipe.yaml", "hashes.json", "README.md"):
        assert (run / "bundle" / name).stat().st_size > 0
    rows = json.loads((run / "scoreboard.json").read_text())
    keys = (
        "name asset split score ci_low ci_high skill p_value p_holm worst mcr ends_lower "
        "volume_volatility verdict tried seeds windows days decisions seconds"
    )
    for row in rows:
        beside = set() if row["name"] == "evolved" else {"log_ratio"}
        if row["split"] == "heldout":
            given = ("", "_skill", "_p", "_verdict")
            beside |= {f"conditional{key}" for key in given}
        assert set(row) == set(keys.split()) | beside
    assert "The evolved market scores" in printed
    names = {row["name"] for row in rows if row["split"] == "heldout"}
    expected = "evolved unevolved random_tendencies rule_based gbm garch_t fw bootstrap_train"
    assert names >= {*expected.split(), "bootstrap_target"}
    assert "evobourse simulate" in printed
    assert "mlflow ui" in printed
    lines = (run / "lineage.jsonl").read_text().splitlines()
    assert len(lines) == 3 + 6 + 3 + 1
    assert set(json.loads(lines[0])) >= {"id", "generation", "parents", "genome", "recipe"}


@pytest.mark.usefixtures("fetched_base")
def test_the_small_sweep_has_the_known_lineage(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    found = hashlib.sha256((folder / "run" / "lineage.jsonl").read_bytes()).hexdigest()
    assert found == LINEAGE, (
        "the small sweep's lineage has other bytes than before: every run of the same seed is "
        "another one now. If that was meant, put the new digest into LINEAGE and say what changed "
        "in CHANGELOG.md; if not, or if it differs on this processor alone, find the cause "
        "(`evobourse bench machine_drill`, docs/decisions/123-what-a-sweep-rounds.md)"
    )


@pytest.mark.slow
def test_a_killed_sweep_resumes_to_the_same_bytes_without_workers_too(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = finished
    command = [sys.executable, "-m", "evobourse.experiments.cli.main", "evolve", str(QUICKSTART)]
    command += ["--run", "run", *OVERRIDES, "--set", "workers=1"]
    process = subprocess.Popen(
        held(command, tmp_path / "run", 2),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lineage = tmp_path / "run" / "lineage.jsonl"
    kill_when(
        lambda: lineage.exists() and lineage.read_bytes().count(b"\n") >= 3,
        process,
        pause_s=1.0,  # into the next generation
    )
    assert not (tmp_path / "run" / "scoreboard.json").exists()
    done = evobourse("resume", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = folder / "run"
    assert lineage.read_bytes() == (whole / "lineage.jsonl").read_bytes()
    hashes = tmp_path / "run" / "bundle" / "simulator.yaml"
    assert hashes.read_bytes() == (whole / "bundle" / "simulator.yaml").read_bytes()


@pytest.mark.slow
def test_a_sweep_killed_after_the_heldout_reading_is_judged_again(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = finished
    shutil.copytree(folder / "run", tmp_path / "run")
    board = tmp_path / "run" / "scoreboard.json"
    before = [{**row, "seconds": 0} for row in json.loads(board.read_text())]
    board.unlink()
    done = evobourse("resume", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [{**row, "seconds": 0} for row in json.loads(board.read_text())] == before


@pytest.mark.slow
def test_a_bundle_reproduces_its_tape_in_a_fresh_process(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    sizes = ["--agents", "40", "--days", "60", "--seed", "1"]
    done = evobourse("simulate", "run/bundle", *sizes, "--out", "tape", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["reference"] is True
    assert json.loads(done.stdout)["forward_passes"] == 0  # the bundle has the answers
    again = (*sizes, "--out", "again", "--ask-again", "--json")
    asked = json.loads(evobourse("simulate", "run/bundle", *again, cwd=folder).stdout)
    assert asked["reference"] is True
    assert asked["ask_again"]["explained"] is True
    assert {one["logits"] for one in asked["ask_again"]["personas"]} == {0.0}
    for name in ("prices", "orders", "decisions", "accounts"):
        assert (folder / "tape" / f"{name}.parquet").stat().st_size > 0
    shown = evobourse("lineage", "run", cwd=folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert (folder / "run" / "lineage.png").stat().st_size > 0
    assert "all 3 generations are done" in shown.stdout
    assert "all 3 generations are done" in (folder / "run" / "lineage.html").read_text()
    compared = evobourse("compare", "run", "run", cwd=folder)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "all settings are the same" in compared.stdout
    tracked = evobourse("track", "run", "--json", cwd=folder)
    assert json.loads(tracked.stdout)["new"] == 0  # the sweep has logged all


@pytest.mark.slow
def test_a_bundle_is_questioned_without_its_held_out_days(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    ledger = (folder / "run" / "heldout_readings.jsonl").read_bytes()
    done = evobourse("robust", "run/bundle", "--groups", "2", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)
    assert json.loads((folder / "run" / "robustness.json").read_text()) == rows
    assert {row["split"] for row in rows} == {"train", "validation"}
    assert (folder / "run" / "heldout_readings.jsonl").read_bytes() == ledger
    board = json.loads((folder / "run" / "scoreboard.json").read_text())
    for row in rows[:2]:  # two groups, as the sweep's own rows
        same = next(r for r in board if (r["name"], r["split"]) == ("evolved", row["split"]))
        assert row["name"] == "evolved"
        assert row["score"] == pytest.approx(same["score"], rel=1e-12)
    shown = evobourse("behaviour", "run/bundle", "--seeds", "1", "--agents", "40", cwd=folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "news-reader" in shown.stdout


@pytest.mark.usefixtures("fetched_base")
def test_a_changed_bundle_is_refused(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    copy = tmp_path / "bundle"
    shutil.copytree(folder / "run" / "bundle", copy)
    with (copy / "personas.yaml").open("a") as file:
        file.write("# touched\n")
    refuses(evobourse("simulate", str(copy), cwd=tmp_path), "personas.yaml was changed")


@pytest.mark.usefixtures("fetched_base")
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    def evolve(*overrides: str) -> subprocess.CompletedProcess[str]:
        parts = [part for value in (*SMALL, *overrides) for part in ("--set", value)]
        return evobourse("evolve", str(QUICKSTART), "--run", "run", *parts, cwd=tmp_path)

    refuses(evolve("serch.generations=3"), "did you mean 'search'")
    refuses(evolve("minds.base=./nowhere"), "no such folder")
    refuses(evolve("series=prices.csv"), "prices.csv")
    header = "date,open,high,low,close,volume\n"
    rows = [f"2020-01-{d:02d},1,2,1,1.5,10\n" for d in range(1, 9)]
    without = header.replace(",close", "") + "".join(row.replace("1.5,", "") for row in rows)
    (tmp_path / "short.csv").write_text(without)
    refuses(evolve("series=short.csv"), "close")
    (tmp_path / "nan.csv").write_text(header + rows[0] + "2020-01-02,1,2,1,,10\n")
    refuses(evolve("series=nan.csv"), "2020-01-02")
    refuses(evolve("budget.max_decisions=5"), "first generation takes")
    refuses(evobourse("resume", "nothing", cwd=tmp_path), "no run there")
    refuses(evobourse("simulate", "nothing", cwd=tmp_path), "nothing")


@pytest.mark.usefixtures("fetched_base")
def test_an_adapter_of_the_wrong_shape_is_named(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    source = next(path for path in (ROOT / "agents" / "adapters").iterdir() if path.is_dir())
    shutil.copytree(source, tmp_path / "adapters" / source.name)
    broken = next((tmp_path / "adapters").glob("*/adapter_model.safetensors"))
    weights = load_file(broken)
    key = next(name for name in weights if name.endswith("q_proj.lora_A.weight"))
    weights[key] = torch.zeros(weights[key].shape[0], 100)
    save_file(weights, broken)
    name = broken.parent.name
    personas = f"personas=[{{name: one, style: {name}}}]"
    parts = [part for value in SMALL for part in ("--set", value)]
    done = evobourse(
        "evolve",
        str(QUICKSTART),
        *parts,
        "--set",
        f"minds.adapters={tmp_path / 'adapters'}",
        "--set",
        personas,
        cwd=tmp_path,
    )
    refuses(done, f"adapter .*{name}: layer .* maps 100 to 576")


@pytest.mark.slow
def test_a_dry_run_prices_a_sweep_and_starts_nothing(tmp_path: Path) -> None:
    done = evobourse(
        "evolve", str(QUICKSTART), *OVERRIDES, "--dry-run", "--json", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    cost = json.loads(done.stdout)
    assert cost["parts"]["search"]["candidates"] == 3 + 6 + 3 + 1
    assert cost["total"]["decisions"] == cost["total"]["markets"] * 60 * 40
    assert cost["total"]["seconds"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.usefixtures("fetched_base")
def test_a_full_disk_is_one_line_and_loses_nothing(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    run = folder / "run"
    before = (run / "lineage.jsonl").read_bytes()
    picture = run / "lineage.png"
    picture.unlink(missing_ok=True)
    (run / ".lineage.png.new").symlink_to("/dev/full")
    try:
        refuses(evobourse("lineage", "run", cwd=folder), "No space left on device")
    finally:
        (run / ".lineage.png.new").unlink(missing_ok=True)
    assert (run / "lineage.jsonl").read_bytes() == before


def test_every_command_has_help_with_an_example(tmp_path: Path) -> None:
    listed = evobourse("--help", cwd=tmp_path).stdout
    commands = (
        "evolve resume lineage track compare simulate export behaviour response robust score "
        "baselines config check merge plan train-styles"
    )
    for command in commands.split():
        assert command in listed
        shown = evobourse(command, "--help", cwd=tmp_path).stdout
        assert f"evobourse {command}" in re.sub(r"\s+", " ", shown)


def refuses(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.slow
def test_another_optimizer_is_one_setting_away(tmp_path: Path) -> None:
    changed = ("optimizer=map_elites", "population=4", "generations=2", "rungs=[1]")
    settings = [s for s in SMALL if not s.startswith("search.cross")]
    settings += [f"search.{value}" for value in changed]
    parts = [part for setting in settings for part in ("--set", setting)]
    done = evobourse("evolve", str(QUICKSTART), "--run", "run", *parts, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "run"
    header, *elites = (run / "archive.csv").read_text().splitlines()
    assert header == "candidate,volatility_cell,diversity_cell,score,volatility,diversity"
    ids = [json.loads(line)["id"] for line in (run / "lineage.jsonl").read_text().splitlines()]
    assert len(ids) == 2 * 4 + 1
    assert elites
    assert {elite.partition(",")[0] for elite in elites} <= set(ids)
    assert f"{len(elites)} candidates in run/archive.csv" in done.stdout
    assert "readings:" in (run / "search.yaml").read_text()
    assert (run / "bundle" / "hashes.json").is_file()
