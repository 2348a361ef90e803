"""What every study must have; and what the runner makes of one."""

import re
from pathlib import Path

import pytest

from evobourse.experiments.config.runnable import describe_settings, read_settings
from evobourse.experiments.studies import run
from evobourse.experiments.studies.run import Page, find_studies, load_study, run_study

ROOT = Path(__file__).parents[3]
STUDIES = find_studies()
NAMED_PAGES = {
    *("nickel", "forecast", "council", "bubble", "scale_effect", "masking", "industries", "impact"),
    *("events", "live", "coverage"),
}
"""Studies that run from a clean clone; others too may have their page in docs."""

LARGER = {"nickel": " --set repeats=3 --set 'arms=[whole, no expert, neither]'"}
"""What was typed where a page in docs was made at more than the small size."""

SLOW = {"nickel": 9}
"""Minutes of the small size where they are more than five: six minds write fifty turns of text."""

NAMES = {
    *("power", "encodings", "deliberate_day", "stacks", "reinforcement", "behaviour"),
    *("trunk_depth", "robustness", "society", "people", "casts", "market_checks", "styles"),
} | NAMED_PAGES
IN_DOCS = sorted(name for name, found in STUDIES.items() if found.declared.page.startswith("docs/"))


def source_of(name):
    """Return the text of a study's file, or of all files of its folder."""
    place = Path(run.__file__).parent / name
    files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    return "\n".join(file.read_text() for file in files)


def test_all_studies_are_found():
    assert set(STUDIES) >= NAMES
    assert len({found.declared.page for found in STUDIES.values()}) == len(STUDIES)


@pytest.mark.parametrize("name", sorted(NAMED_PAGES))
def test_a_study_for_a_clean_clone_needs_no_run_and_writes_the_page_of_its_name(name):
    assert STUDIES[name].declared.page == f"docs/studies/{name}.md"
    assert STUDIES[name].declared.minutes <= SLOW.get(name, 5)
    settings = vars(load_study(name).Settings())
    settings.pop("folder", None)  # where a study's own sweeps are kept
    given = [value for value in settings.values() if isinstance(value, str | Path)]
    assert not [value for value in given if str(value).startswith("runs")]
    # pages say what was typed: that is how they were made
    page = (ROOT / STUDIES[name].declared.page).read_text()
    typed = f"evobourse study {name}{LARGER.get(name, '')}"
    assert f"Written by `{typed}`; do not edit." in page


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_what_its_source_declares_and_explains_its_settings(name):
    study = load_study(name)
    assert STUDIES[name].declared == study.STUDY
    assert study.STUDY.question.endswith("?")
    assert callable(study.run)
    assert read_settings(study.Settings, (), name) == study.Settings()
    rows = describe_settings(study.Settings)
    assert [key for key, _, meaning in rows if not meaning] == []
    assert re.search(r"Written by `\{(report\.)?command\}`; do not edit\.", source_of(name))


@pytest.mark.parametrize("name", IN_DOCS)
def test_a_page_in_docs_has_the_headings_and_the_command_that_its_study_writes(name):
    page = (ROOT / STUDIES[name].declared.page).read_text()
    written = [
        ".+".join(map(re.escape, re.split(r"\{\w+\}", heading)))
        for heading in re.findall(r"#{1,3} [^\n\"\\]+", source_of(name))
    ]
    headings = re.findall(r"^#{1,3} .+$", page, re.MULTILINE)
    assert [h for h in headings if not any(re.fullmatch(w, h) for w in written)] == []
    assert re.search(rf"^Written by `evobourse study {name}\b[^`]*`; do not edit\.$", page, re.M)


def test_what_a_page_says_was_typed_can_be_set():
    """Every --set of a study or benchmark that a document names is one of its settings."""
    from evobourse.experiments.benchmarks.run import load_benchmark

    load = {"study": load_study, "bench": load_benchmark}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for code in re.findall(r"`([^`]+)`", page.read_text()):
            line = " ".join(code.split())
            if typed := re.match(r"evobourse (study|bench) ([a-z_]+)\b(.*)", line):
                kind, name, rest = typed.groups()
                changes = [b or c for b, c in re.findall(r"--set (?:'([^']+)'|(\S+))", rest)]
                read_settings(load[kind](name).Settings, changes, f"{page.name}: {name}")


def test_the_runner_writes_page_and_pictures_and_leaves_the_old_ones_where_a_study_fails(
    tmp_path, monkeypatch
):
    from matplotlib.figure import Figure

    power = load_study("power")
    monkeypatch.setattr(
        power,
        "run",
        lambda settings, report: Page(f"{report.command}, {settings.paths}", {"a.png": Figure()}),
    )
    out = tmp_path / "new" / "page.md"
    assert run_study("power", ["paths=3"], out) == [out, out.with_name("a.png")]
    assert out.read_text() == "evobourse study power --set paths=3, 3"
    assert out.with_name("a.png").read_bytes().startswith(b"\x89PNG")

    def fail(settings, report):
        raise RuntimeError

    monkeypatch.setattr(power, "run", fail)
    with pytest.raises(RuntimeError):
        run_study("power", [], out)
    assert out.read_text() == "evobourse study power --set paths=3, 3"
