"""What is run by name: found by walking a folder, its settings read from key=value."""

from __future__ import annotations

import ast
import difflib
import inspect
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_origin, get_type_hints

from evobourse.experiments.config.sections import override, read_section
from evobourse.experiments.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
Declaration = TypeVar("Declaration")
Value = TypeVar("Value")

CHANGES = "changes"
"""The setting that takes all keys with a dot: they are those of an experiment's config."""


@dataclass(frozen=True)
class Found(Generic[Declaration]):
    """A module that can be run by name.

    Attributes
    ----------
    module
        To import.
    declared
        What it says of itself.
    """

    module: str
    declared: Declaration


def find_declared(
    folder: Path, package: str, variable: str, kind: type[Declaration]
) -> dict[str, Found[Declaration]]:
    """Find the modules below a folder that declare themselves, without importing any.

    Parameters
    ----------
    folder, package
        Where to look, and the folder's import name.
    variable, kind
        A module is found if it says ``variable = kind(key=literal, ...)``.

    Returns
    -------
    dict
        By the name of the file in the folder, or of the folder that the file is in.
    """
    found = {}
    for file in sorted(folder.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if f"\n{variable} = {kind.__name__}(" not in text:
            continue
        [call] = [
            node.value
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == variable
        ]
        assert isinstance(call, ast.Call)
        said = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        place = file.relative_to(folder).with_suffix("").parts
        found[place[0]] = Found(".".join((package, *place)), kind(**said))
    return found


def choose(found: Mapping[str, Value], name: str, what: str) -> Value:
    """Return what has that name.

    Raises
    ------
    ConfigError
        Nothing has; the nearest name is given.
    """
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(found)}"
        raise ConfigError(f"{what} {name!r} is unknown; {hint}")
    return found[name]


def read_settings(kind: type[Settings], changes: Sequence[str], what: str) -> Settings:
    """Return settings with their defaults changed by ``key=value``.

    A value is YAML; a single one stands for a list of one. Whole numbers are sizes, counts and
    seeds: all are at least 1.

    Parameters
    ----------
    kind
        A frozen dataclass whose fields all have defaults.
    changes
        As typed. Keys with a dot go to the field `CHANGES`, if the settings have it.
    what
        Whose settings they are, for complaints.

    Raises
    ------
    ConfigError
        A key is unknown, a value has the wrong type or is too small.
    """
    hints = get_type_hints(kind)
    raw: dict[str, Any] = {}
    of_config = []
    for change in changes:
        if CHANGES in hints and "." in change.partition("=")[0]:
            of_config.append(change)
        else:
            override(raw, change)
    if of_config:
        raw[CHANGES] = [*raw.get(CHANGES, []), *of_config]
    for key, value in raw.items():
        if get_origin(hints.get(key)) is tuple and not isinstance(value, list):
            raw[key] = [value]
    settings = read_section(kind, raw, what)
    for field in fields(settings):
        value = getattr(settings, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int and number < 1:
                raise ConfigError(f"{what}: {field.name} is {number}, expected at least 1")
    return settings


def describe_settings(kind: type[Settings]) -> list[tuple[str, str, str]]:
    """List key, default and meaning of settings, from their fields and numpydoc docstring."""
    meanings: dict[str, list[str]] = {}
    names: list[str] = []
    for line in (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")[2].splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
        for name in names if line.startswith(" ") else ():
            meanings.setdefault(name, []).append(line.strip())
    return [
        (field.name, _written(field.default), " ".join(meanings.get(field.name, ())))
        for field in fields(kind)
    ]


def typed_command(*words: str, changes: Sequence[str]) -> str:
    """Return the command line that runs something with these changes of its settings."""
    return " ".join([*words, *(f"--set {shlex.quote(change)}" for change in changes)])


def _written(value: object) -> str:
    """Write a default as it would be typed."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return (
        {None: "null", True: "true", False: "false"}[value]
        if (value is None or isinstance(value, bool))
        else str(value)
    )
