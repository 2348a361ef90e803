"""The environment in which the peers of benchmarks are installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parents[3] / "build" / "peers"


# pams pins an older NumPy; its market needs no more than this.
INSTALLS = (["bourse==0.4.0", "numpy==2.4.*", "scipy==1.17.*"], ["--no-deps", "pams==0.3.0"])


def peers_python() -> Path:
    """Return the Python of the peers' environment, made if it does not exist."""
    python = PEERS / "bin" / "python"
    ready = PEERS / ".ready"
    if not ready.exists():
        print(f"installing bourse and pams into {PEERS} (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        for packages in INSTALLS:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        ready.touch()
    return python
