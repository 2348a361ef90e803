"""A sweep in a process of its own that never records one of its generations, for tests to kill.

``python held_sweep.py FOLDER GENERATION PROGRAM ARGUMENTS`` runs a script or a module, in which a
sweep in FOLDER stands still for good when GENERATION is to be recorded.
"""

import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LONGEST_S = 600


def held(command: Sequence[str], folder: Path, generation: int) -> list[str]:
    """Change a command ``python [-m] PROGRAM ARGUMENTS`` so that its sweep cannot end."""
    python, *rest = command
    program = rest[1:] if rest[0] == "-m" else rest
    return [python, __file__, str(folder), str(generation), *program]


def kill_when(ready: Callable[[], bool], process: subprocess.Popen, pause_s: float = 0.0) -> None:
    """Kill -9 a process that cannot have ended by itself, a pause after it is ready for that."""
    deadline = time.monotonic() + LONGEST_S
    try:
        while not ready():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(pause_s)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def hold(folder: Path, generation: int) -> None:
    """Let no sweep in a folder record a generation, from now on."""
    from evobourse.evolve.lineage import Lineage

    append = Lineage.append

    def held_append(self, candidates):
        if self.path.parent.resolve() == folder and candidates[0].generation == generation:
            time.sleep(LONGEST_S)
            raise SystemExit(f"nobody killed the sweep in {folder}")
        append(self, candidates)

    Lineage.append = held_append


if __name__ == "__main__":
    folder, generation, program, *arguments = sys.argv[1:]
    hold(Path(folder).resolve(), int(generation))
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
