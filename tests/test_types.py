"""Who is excused from strict types: a list that only shrinks."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ["evobourse"]
EXCUSED: frozenset[str] = frozenset()
"""Take out what has become strict, and put nothing in."""


def excused_by(settings, packages):
    """Name what of ours mypy does not check strictly: packages left out, and overrides' modules."""
    found = {f"{package}.*" for package in packages if package not in settings["packages"]}
    for override in settings.get("overrides", []):
        if override.keys() - {"module", "ignore_missing_imports"}:
            modules = override["module"]
            found |= {modules} if isinstance(modules, str) else set(modules)
    return {module for module in found if module.partition(".")[0] in {*packages, "*"}}


def files_of(module):
    """List the files that an override's module or pattern names."""
    path = ROOT.joinpath(*module.removesuffix(".*").split("."))
    return [*path.parent.glob(f"{path.name}.py"), *path.rglob("*.py")]


def test_whoever_is_excused_was_before():
    excused = excused_by(PROJECT["tool"]["mypy"], PACKAGES)
    assert excused - EXCUSED == set(), "give it types"
    assert EXCUSED - excused == set(), "strict by now: take it out of EXCUSED as well"


def test_whoever_is_excused_exists():
    assert [module for module in sorted(EXCUSED) if not files_of(module)] == []


def test_all_are_held_to_all_rules():
    settings = PROJECT["tool"]["mypy"]
    assert settings["strict"] is True
    known = {"python_version", "strict", "untyped_calls_exclude", "packages", "overrides"}
    assert settings.keys() <= known, "a setting for all modules may relax all of them"
    assert not set(settings["untyped_calls_exclude"]) & set(PACKAGES)
    links = [link for link in (ROOT / "evobourse").iterdir() if link.is_symlink()]
    files = [file for link in links for file in link.resolve().rglob("*.py")]
    assert len(files) > 300
    assert [file.name for file in files if "# mypy:" in file.read_text()] == []


@pytest.mark.parametrize(
    ("settings", "excused"),
    [
        ('packages = ["a", "b"]', set()),
        ('packages = ["a"]', {"b.*"}),
        (
            'packages = ["a", "b"]\n[[overrides]]\nmodule = "x.*"\nignore_missing_imports = true',
            set(),
        ),
        ('packages = ["a", "b"]\n[[overrides]]\nmodule = "x.*"\nfollow_imports = "skip"', set()),
        ('packages = ["a", "b"]\n[[overrides]]\nmodule = "*.c"\nignore_errors = true', {"*.c"}),
        ('packages = ["a", "b"]\n[[overrides]]\nmodule = "a.c"\nignore_errors = true', {"a.c"}),
        (
            'packages = ["a", "b"]\n[[overrides]]\nmodule = ["a.c", "b.d"]\nstrict_optional = 0',
            {"a.c", "b.d"},
        ),
    ],
)
def test_excuses_are_found(settings, excused):
    assert excused_by(tomllib.loads(settings), ["a", "b"]) == excused
