"""The state of a sweep between two generations: one pickle, saved at once or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from evobourse.evolve import durable
from evobourse.evolve.errors import RunError

FORMAT_VERSION = 3


def save(path: Path, state: dict[str, Any]) -> None:
    """Save a state in place of the one before.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.
    state : dict
        Anything that pickles.

    Raises
    ------
    RunError
        When it cannot be written, for example on a full disk; the old state stays.
    """
    data = pickle.dumps({"version": FORMAT_VERSION, "state": state}, protocol=5)
    durable.replace_bytes(path, data)


def load(path: Path) -> dict[str, Any]:
    """Load the state saved last. A pickle runs code: load only checkpoints of your own runs.

    Raises
    ------
    RunError
        When there is none, it is torn, or another version of the format wrote it.
    """
    try:
        envelope = pickle.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"no checkpoint at {path}; start the sweep afresh") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a torn pickle raises nearly anything
        raise RunError(
            f"the checkpoint {path} is damaged ({type(error).__name__}); "
            "restore it or start the sweep in a new folder"
        ) from error
    version = envelope.get("version") if isinstance(envelope, dict) else None
    if version != FORMAT_VERSION:
        raise RunError(
            f"the checkpoint {path} has format version {version}, this toolkit reads "
            f"{FORMAT_VERSION}; resume it with the toolkit that wrote it"
        )
    state: dict[str, Any] = envelope["state"]
    return state
