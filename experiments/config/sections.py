"""Sections of a YAML file as frozen dataclasses, every key and type checked."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from evobourse.experiments.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")


def read_yaml(path: Path, what: str) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    ConfigError
        The file cannot be read (name ``what`` it should be) or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name {what}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no valid YAML ({' '.join(str(error).split())})") from error


def override(raw: dict[str, Any], change: str) -> None:
    """Put ``key=value`` into what a YAML file holds, in place.

    Raises
    ------
    ConfigError
        There is no value, no section of that name, or the value is no YAML.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {change!r}: expected key=value, as in search.generations=5")
    *parents, leaf = key.split(".")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {change!r}: {parent!r} is a value, not a section")
    try:
        place[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {change!r}: {text!r} is no valid YAML value") from error


def read_section(kind: type[Section], raw: Any, where: str, prefix: str = "") -> Section:
    """Make a frozen dataclass of a YAML section, every key and type checked.

    Parameters
    ----------
    kind
        The dataclass.
    raw
        What the file says.
    where, prefix
        The file's name and the section's, with a dot, for complaints.

    Raises
    ------
    ConfigError
        A key is unknown (the nearest valid one is named) or a value has the wrong type.
    """
    if not isinstance(raw, Mapping):
        named = f"{prefix.rstrip('.')} is {raw!r}" if prefix else f"holds {type(raw).__name__}"
        raise ConfigError(f"{where}: {named}, expected a section of keys and values")
    hints = get_type_hints(kind)
    for key in raw:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(hints)}"
            raise ConfigError(f"{where}: unknown key {prefix + str(key)!r}; {hint}")
    values = {k: _value(hints[k], v, where, prefix + str(k)) for k, v in raw.items()}
    required = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    if missing := [name for name in required if name not in values]:
        raise ConfigError(f"{where}: {prefix}{missing[0]} is missing; give it a value")
    return kind(**values)


def _value(hint: Any, raw: Any, where: str, key: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if raw is None:
            return None
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
    if isinstance(hint, type) and is_dataclass(hint):
        return read_section(hint, raw, where, key + ".")
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if not isinstance(raw, list):
            raise ConfigError(f"{where}: {key} is {raw!r}, expected a list")
        if inner[-1] is not Ellipsis and len(inner) != len(raw):
            raise ConfigError(f"{where}: {key} has {len(raw)} entries, expected {len(inner)}")
        return tuple(_value(inner[0], item, where, f"{key}[{i}]") for i, item in enumerate(raw))
    if get_origin(hint) is Literal:
        if raw not in get_args(hint):
            raise ConfigError(f"{where}: {key} is {raw!r}, expected {' or '.join(get_args(hint))}")
        return raw
    if get_origin(hint) is dict:
        if not isinstance(raw, Mapping):
            raise ConfigError(f"{where}: {key} is {raw!r}, expected a section")
        inner = get_args(hint)[1]
        return {str(k): _value(inner, v, where, f"{key}.{k}") for k, v in raw.items()}
    if hint is str and hasattr(raw, "isoformat"):
        return raw.isoformat()
    if hint is Path and isinstance(raw, str):
        return Path(raw)
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, hint) or (isinstance(raw, bool) and hint is not bool):
        raise ConfigError(f"{where}: {key} is {raw!r}, expected {hint.__name__}")
    return raw
