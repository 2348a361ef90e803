"""A function of ours called in a Python process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

SCRIPT = """\
import json, sys
from {module} import {name} as call
call(**json.loads(sys.argv[1]))
"""


def process_command(call: Callable[..., object], **arguments: object) -> list[str]:
    """Return the command that calls a module's function; arguments are what JSON can say."""
    script = SCRIPT.format(module=call.__module__, name=call.__name__)
    return [sys.executable, "-W", "ignore", "-c", script, json.dumps(arguments)]
