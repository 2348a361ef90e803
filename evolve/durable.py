"""Bytes that survive a kill: append all or nothing, replace all or nothing.

What `market.durable` does for any file; a failure here is a `RunError` that says what to do.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from evobourse.evolve.errors import RunError
from evobourse.market import durable


def append_bytes(path: Path, data: bytes) -> None:
    """Append to a file and force it to disk; on failure leave the file as it was.

    Raises
    ------
    RunError
        When the file cannot be written, for example on a full disk.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        size = os.fstat(descriptor).st_size
        try:
            durable.write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):  # what cannot be cut now is cut on the resume
                os.ftruncate(descriptor, size)
            raise _refused(path, error) from error
    finally:
        os.close(descriptor)


def replace_bytes(path: Path, data: bytes) -> None:
    """Replace a file by new content at once; on failure leave the old one.

    Raises
    ------
    RunError
        When the file cannot be written, for example on a full disk.
    """
    try:
        durable.replace_bytes(path, data)
    except OSError as error:
        raise _refused(path, error) from error


def truncate(path: Path, size: int) -> None:
    """Cut a file to its first `size` bytes, in one step of the file system.

    Raises
    ------
    RunError
        When the file cannot be written.
    """
    try:
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> RunError:
    return RunError(
        f"cannot write {path}: {error.strerror or error}; nothing of it was kept: "
        "make room or fix the folder, then resume the run"
    )
