"""Days drawn once, what a recorder in memory makes of them, and a folder that one has written."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from tests.market.tape.tapes import DAYS, SMALL, remember

SCRIPT = Path(__file__).with_name("recorded_days.py")


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """What a process wrote outlives it without fsync, which guards against loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(name="days", scope="session")
def days_fixture():
    """The script that is also run in processes that get killed."""
    spec = importlib.util.spec_from_file_location("recorded_days", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def drawn(days):
    return [days.draw_day(day) for day in range(DAYS)]


@pytest.fixture(scope="session")
def memory(days, drawn):
    return remember(days, drawn)


@pytest.fixture(scope="module")
def recorded(days, drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    days.run(folder, DAYS, draw=drawn.__getitem__, **SMALL)
    return folder
