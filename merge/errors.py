"""What can be wrong with a model, an adapter or a recipe that a user hands in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MergeError(Exception):
    """Root of this package's errors; the message is one line: what, where, what to do."""


class ModelError(MergeError):
    """A base or source model cannot be fetched, read or used."""


class AdapterError(MergeError):
    """A PEFT adapter folder does not fit the base model."""


class RecipeError(MergeError):
    """A merge recipe is malformed or names sources that do not match."""


@contextmanager
def foreign_code(what: str) -> Iterator[None]:
    """Turn whatever a library raises over a user's file into one line.

    The libraries that read models raise exceptions of any kind over damaged or foreign files;
    nothing but their calls belongs in here.

    Parameters
    ----------
    what
        Beginning of the message: which file or model, and what is done with it.

    Raises
    ------
    ModelError
        For every exception but our own, which pass.
    """
    try:
        yield
    except MergeError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = " ".join(lines[0].split()) if lines else ""
        kind = type(error).__name__
        told = reason if isinstance(error, OSError) and reason else f"{kind}: {reason}".rstrip(": ")
        raise ModelError(f"{what} ({told})") from error
