"""User text as one part of a path, and a path as the address of a database."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import quote, unquote

from evobourse.evolve.errors import RunError

LONGEST_NAME_BYTES = 200
"""Files' names end at 255 bytes, and some get an ending."""
PLAIN = " -_.,()+=@'"
SQLITE = "sqlite:///"


def file_name(text: str) -> str:
    """Make a file's or folder's name of any text: one part of a path, different for each text.

    Letters and digits of all languages stay as they are, whatever else means something to a path,
    an address or a shell is written as in a URL; a text that is too long ends in its hash.

    Parameters
    ----------
    text : str
        Such as a persona's name.

    Returns
    -------
    str
        At most 200 bytes in UTF-8, neither empty nor hidden.
    """
    kept = "".join(
        sign if sign.isalnum() or sign in PLAIN else quote(sign, safe="", errors="surrogatepass")
        for sign in text
    )
    # Hidden files, "." and "..", and blanks that shells and Windows swallow.
    kept = re.sub(r"^[. ]|[. ]$", lambda found: f"%{ord(found[0]):02X}", kept) or "%"
    if len(kept.encode()) <= LONGEST_NAME_BYTES:
        return kept
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    whole = kept.encode()[: LONGEST_NAME_BYTES - 17].decode(errors="ignore")
    return f"{whole}-{digest}"


def inside(folder: Path, name: str) -> Path:
    """Return a folder's file by a name that was read from a file.

    Raises
    ------
    RunError
        The name leads out of the folder.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise RunError(f"{folder}: names {name!r}, which is no file within it")
    return folder / path


def sqlite_address(path: Path) -> str:
    """Return the address by which SQLAlchemy, and so MLflow, opens an SQLite file.

    Parameters
    ----------
    path : Path
        Absolute; it may hold any sign.
    """
    return SQLITE + quote(str(path), safe=" +/")  # as SQLAlchemy itself writes it


def sqlite_path(address: str) -> Path | None:
    """Return the file of an SQLite address; None for the address of anything else."""
    if not address.startswith(SQLITE):
        return None
    return Path(unquote(address.removeprefix(SQLITE).partition("?")[0]))
