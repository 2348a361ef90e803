"""Bytes that survive a kill: append all or nothing, replace all or nothing.

Knows: write, flush, fsync, truncate back, rename; what to say when the disk is full.
Does not know: what the bytes mean or who reads them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from evolve.errors import RunError


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
            _write_all(descriptor, data)
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
    temporary = path.with_name(f".{path.name}.new")  # one name, so that kills leave no litter
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
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


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # write may take less than it is given, first of all on a disk that fills up
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> RunError:
    return RunError(
        f"cannot write {path}: {error.strerror or error}; nothing of it was kept: "
        "make room or fix the folder, then resume the run"
    )
