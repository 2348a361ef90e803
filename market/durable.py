"""A file replaced all at once, also when the process is killed or the machine loses power.

What the disk refuses is raised as OSError.
"""

import contextlib
import os
from pathlib import Path


def replace_bytes(path: Path, data: bytes) -> None:
    """Replace a file by new content at once; on failure leave the old one.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")  # one name, so that kills leave no litter
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: a single write may take less, first of all on a disk that fills up."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
