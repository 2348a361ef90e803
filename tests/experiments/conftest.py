"""What studies and benchmarks tell, as tests read it."""

import json

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
