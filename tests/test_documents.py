"""The documents name what is there: modules, files, folders, names in the code, pages."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from evobourse.experiments.config.experiment import MarketConfig

ROOT = Path(__file__).parents[1]
PACKAGES = ("market", "merge", "fitness", "agents", "evolve", "experiments")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
MODULES = {
    str(file.relative_to(ROOT))
    for package in PACKAGES
    for file in (ROOT / package).rglob("*.py")
    if file.name != "__init__.py"
}
MARKET_KEYS = {f"market.{field.name}" for field in fields(MarketConfig)}

PLACE = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)}|docs|tests|notebooks)/[\w./-]*\w")
PARTS = r"(?:\.(?!py\b)[a-zA-Z_]\w*)+"
NAME = re.compile(rf"(?<![\w./-])(?:evobourse\.)?(?:{'|'.join(PACKAGES)}){PARTS}")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links_of(page):
    """Resolve a page's links to files of the repository; those to other sites are left out."""
    found = [target.partition("#")[0] for target in LINK.findall(page.read_text())]
    return {(page.parent / file).resolve() for file in found if file and "://" not in file}


def is_place(path):
    """Whether a file or folder is there; a decision may be named by its number alone."""
    number = re.fullmatch(r"docs/decisions/\d{3}", path)
    return any(ROOT.glob(f"{path}-*")) if number else (ROOT / path).exists()


def is_name(dotted):
    """Whether a dotted name leads to a folder, a module, or a name that stands in a module."""
    place, names = ROOT, dotted.removeprefix("evobourse.").split(".")
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    if names and place.joinpath(f"{names[0]}.py").is_file():
        place /= f"{names.pop(0)}.py"
    if not names:
        return True
    return place.is_file() and re.search(rf"\b{names[0]}\b", place.read_text()) is not None


def test_the_file_map_names_every_module_and_no_other():
    named, room = [], ""
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        if heading := re.fullmatch(r"#+ (.*)", line):
            room = heading[1]
        elif module := re.match(r"- `(\w+\.py)`: \w", line):
            named.append(room + module[1])
    assert sorted(named) == sorted(MODULES)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    code = "\n".join(CODE.findall(text))
    missing = [path for path in PLACE.findall(text) if not is_place(path)]
    missing += [
        name for name in NAME.findall(code) if name not in MARKET_KEYS and not is_name(name)
    ]
    missing += [str(file) for file in links_of(page) if not file.exists()]
    assert missing == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("evobourse.market.exchange.Exchange", True),
        ("market.book", True),
        ("market.exchange.Bazaar", False),
        ("market.bazaar", False),
        ("agents.minds.bazaar.ask", False),
    ],
)
def test_a_name_in_the_code_is_known(name, known):
    assert is_name(name) == known


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "index.md"
    decisions = index.parent / "decisions" / "index.md"
    assert {index, *links_of(index), *links_of(decisions)} >= set(PAGES)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) < 1500
