"""The house's arrows: which of our packages may import which, and what stays unloaded."""

import ast
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "market": set(),
    "merge": set(),
    "fitness": {"market"},
    "agents": {"market", "merge"},
    "evolve": {"market", "merge", "fitness", "agents"},
    "experiments": {"market", "merge", "fitness", "agents", "evolve"},
}
OURS = {*MAY_IMPORT, "tests", "notebooks"}
MODULES = [file for package in MAY_IMPORT for file in sorted((ROOT / package).rglob("*.py"))]
FLOORS = (
    {"errors"},
    {"reports"},
    {"config", "scoring"},
    {"planner"},
    {"sweep"},
    {"simulate", "styles", "benchmarks"},
    {"studies", "desk"},
    {"cli"},
    {"api"},
)
"""Rooms of experiments, upwards: each imports lower ones and itself."""

MOST_MODULES = 20
TORCH_FREE = ("market", "fitness", "evolve")
EXTRAS = (
    "bitsandbytes", "bokeh_sampledata", "chronos", "gymnasium", "pettingzoo", "psycopg", "ray",
    "ribs", "torchao",
)  # fmt: skip


def name_of(file):
    """Name a file's module without ``evobourse.``."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file):
    """Name what a file imports anywhere, ours without ``evobourse.``, and its line of each."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        assert not {name.partition(".")[0] for name in names} & OURS, "ours are evobourse.*"
        found += [(name.removeprefix("evobourse."), node.lineno) for name in names]
    return found


@pytest.fixture(scope="module")
def graph():
    """Our modules, and an arrow to each module that one imports."""
    found = nx.DiGraph()
    found.add_nodes_from(map(name_of, MODULES))
    for file in MODULES:
        for name, _ in imports_of(file):
            # `from module import name`: the longest part that is a module
            while name and name not in found:
                name = name.rpartition(".")[0]
            if name:
                found.add_edge(name_of(file), name)
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file):
    package = file.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[package] | {package}
    found = [(name.partition(".")[0], line) for name, line in imports_of(file)]
    against = [(name, line) for name, line in found if name in OURS - allowed]
    assert against == [], f"{package} may import {sorted(allowed)} alone"
    if package in TORCH_FREE:
        assert "torch" not in dict(found)


def test_no_files_import_each_other_in_a_circle(graph):
    circles = [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1]
    assert circles == []
    assert graph.has_edge("evolve.loop", "evolve.lineage")  # the arrows are there


def test_rooms_of_experiments_import_downwards(graph):
    level = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
    assert {file.parts[-2] for file in (ROOT / "experiments").glob("*/__init__.py")} <= set(level)
    against = []
    for above, below in graph.edges:
        rooms = [name.split(".")[1] for name in (above, below) if name.count(".")]
        if above.startswith("experiments.") and below.startswith("experiments."):
            upper, lower = rooms
            if upper != lower and level[lower] >= level[upper]:
                against.append((above, below))
    assert against == []


def test_no_folder_is_a_warehouse():
    folders = {file.parent for file in MODULES}
    sizes = {
        str(folder.relative_to(ROOT)): len({*folder.glob("*.py")} - {folder / "__init__.py"})
        for folder in folders
    }
    assert {name: size for name, size in sizes.items() if size > MOST_MODULES} == {}


def test_every_package_of_the_house_is_walked():
    assert {file.relative_to(ROOT).parts[0] for file in MODULES} == set(MAY_IMPORT)
    assert {"torch", "numpy"} <= {
        name for name, _ in imports_of(ROOT / "agents" / "minds" / "engine.py")
    }


@pytest.mark.parametrize(
    ("statement", "unloaded"),
    [
        (
            "import evobourse.market, evobourse.fitness, evobourse.evolve.genomes.genome, "
            "evobourse.evolve.searches.cross, evobourse.evolve.lineage, evobourse.evolve.loop",
            ["torch", "transformers"],
        ),
        (
            "import evobourse.experiments.cli.main",
            ["torch", "transformers", "matplotlib", "mlflow"],
        ),
    ],
)
def test_importing_does_not_load(statement, unloaded):
    script = f"{statement}\nimport sys\nprint([m for m in {unloaded} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_module_imports_without_the_optional_extras():
    names = [
        "evobourse." + ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in MODULES
    ]
    script = f"""
import importlib, sys
sys.modules |= dict.fromkeys({EXTRAS})  # as if they were not installed
for name in {names}:
    try:
        importlib.import_module(name.removesuffix(".__init__"))
    except Exception as error:
        print(f"{{name}}: {{error!r}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("", "")
