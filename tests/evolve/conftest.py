import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).with_name("sphere_sweep.py")


@pytest.fixture(scope="session")
def sphere() -> ModuleType:
    """The toy sweep that is also run as a script, in processes that get killed."""
    spec = importlib.util.spec_from_file_location("sphere_sweep", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
