"""Arrays that cost seconds and depend on nothing but their inputs, kept on disk by content.

Nothing is ever forgotten: the folder may be deleted.

An entry is written beside its name and moved there whole, so that processes may share the folder
and a kill leaves nothing half-written. An entry that cannot be read is computed anew.
"""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

from evobourse.fitness.moments import FloatArray

FOLDER_VARIABLE = "EVOBOURSE_CACHE"
"""Environment variable that moves the folder; the default is ``~/.cache/evobourse/fitness``."""

LIBRARIES = ("numpy", "scipy", "arch", "statsmodels")
"""What the arrays are computed with: another version may differ in the last bit."""


def remember(
    name: str,
    inputs: Sequence[object],
    code: Sequence[ModuleType],
    compute: Callable[[], dict[str, FloatArray]],
) -> dict[str, FloatArray]:
    """Return arrays from the cache, or compute and keep them.

    Parameters
    ----------
    name : str
        What the arrays are, for the file's name.
    inputs : sequence
        All that they depend on: arrays by their bytes, anything else by its ``repr``.
    code : sequence of modules
        Where they are computed: another source text is another entry.
    compute : callable
        Makes float64 arrays by name; what it raises is raised and nothing is kept.

    Returns
    -------
    dict of str to float64 array
        The same bytes, computed or read. A folder that cannot be written costs time, no result.
    """
    entry = cache_folder() / f"{name}-{_digest(inputs, code)}.npz"
    with (
        contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile),
        entry.open("rb") as file,
        np.load(file) as kept,  # a zip, with checksums
    ):
        return {key: np.asarray(kept[key], dtype=np.float64) for key in kept.files}
    arrays = compute()
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=entry.parent, suffix=".part", delete=False) as part:
            try:
                np.savez(part, allow_pickle=False, **arrays)
                part.close()
                Path(part.name).replace(entry)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    return arrays


def cache_folder() -> Path:
    """Where arrays are kept."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evobourse" / "fitness"
    )


def _digest(inputs: Sequence[object], code: Sequence[ModuleType]) -> str:
    content = hashlib.sha256(_format_and_libraries())
    for part in (
        *(Path(str(module.__file__)).read_bytes() for module in code),
        *(_bytes(value) for value in inputs),
    ):
        content.update(len(part).to_bytes(8, "little") + part)
    return content.hexdigest()


@cache
def _format_and_libraries() -> bytes:
    libraries = repr([(library, version(library)) for library in LIBRARIES]).encode()
    return Path(__file__).read_bytes() + libraries


def _bytes(value: object) -> bytes:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    return repr(value).encode()
