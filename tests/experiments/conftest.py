"""What studies and benchmarks tell, as tests read it, and a browser for pages."""

import json
import shutil

import pytest

from evobourse.experiments.reports.figure_lines import Report


@pytest.fixture
def report():
    return Report("told", "evobourse study told --set seeds=1")


@pytest.fixture
def told(capsys):
    """Return a function that lists the figures printed since it was last called."""

    def read():
        lines = capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    return read


@pytest.fixture(scope="module")
def browser():
    """Start a headless Chromium, of Debian or the like."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    place = shutil.which("chromium") or shutil.which("chromium-browser")
    if place is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield opened
        opened.close()
