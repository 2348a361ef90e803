"""The commands `study` and `bench`, from their command lines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def evobourse(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "evobourse.experiments.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_studies_and_benchmarks_are_listed_for_people_and_for_programs():
    studies = json.loads(evobourse("study", "--list", "--json").stdout)
    assert all(list(study) == ["name", "minutes", "page"] for study in studies)
    power = next(study for study in studies if study["name"] == "power")
    assert power["page"] == "docs/studies/power.md"
    benches = json.loads(evobourse("bench", "--list", "--json").stdout)
    assert all(list(bench) == ["name", "minutes"] for bench in benches)
    for kind, found in (("study", studies), ("bench", benches)):
        lines = evobourse(kind, "--list").stdout.splitlines()
        assert [line.split()[0] for line in lines] == [each["name"] for each in found]
        assert all(line.endswith(" min)") for line in lines)


def test_the_settings_of_one_are_listed():
    rows = json.loads(evobourse("study", "coverage", "--list", "--json").stdout)
    assert {"key": "paths", "default": "1000", "meaning": "Of each law."} in rows
    assert "--set paths=1000\n    Of each law" in evobourse("study", "coverage", "--list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("study", "pwer"), "study 'pwer' is unknown; did you mean 'power'?"),
        (("study", "power", "--set", "pahts=3"), "unknown key 'pahts'; did you mean 'paths'?"),
        (("bench", "mind"), "benchmark 'mind' is unknown; did you mean 'minds'?"),
        (("study", "masking", "--set", "config=nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, said, tmp_path):
    done = evobourse(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_study_writes_its_page_and_ends_with_its_figures_and_its_path(tmp_path):
    small = ["window_days=125", "paths=20", "workers=1"]
    changes = [part for change in small for part in ("--set", change)]
    done = evobourse("study", "power", *changes, "--out", "power.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "power.md").read_text()
    assert page.startswith("# How long a simulation must be\n")
    command = "evobourse study power --set window_days=125 --set paths=20 --set workers=1"
    assert f"Written by `{command}`; do not edit." in page
    assert "20 times at each length" in page
    *figures, last = done.stdout.splitlines()
    assert last.split() == ["page", "power.md"]
    told = [json.loads(line) for line in figures]
    assert {line["bench"] for line in told} == {"power"}
    assert [line["value"] for line in told if line["figure"].endswith("10 x 125 days")] != []
    assert [path.name for path in tmp_path.iterdir()] == ["power.md"]
