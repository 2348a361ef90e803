"""Sections of a YAML file as frozen dataclasses that check themselves.

A section's ``__post_init__`` raises its package's error, with a message that begins with the key;
`read_section` puts the file and the section before it. Bounds of numbers stand in annotations.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from evobourse.agents.bounds import check_bounds
from evobourse.agents.errors import AgentError
from evobourse.evolve.errors import EvolveError
from evobourse.experiments.errors import ConfigError
from evobourse.market.errors import MarketError
from evobourse.merge.errors import MergeError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SectionType = TypeVar("SectionType", bound="DataclassInstance")
WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
"""What messages and the reference call a value's type."""


class Section:
    """A frozen dataclass of settings; its numbers are within the bounds in their annotations.

    Attributes
    ----------
    MOVED
        Keys of earlier versions, and what they are now.
    """

    MOVED: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        """Check the numbers; whoever checks more calls this first."""
        check_bounds(self, ConfigError)  # type: ignore[arg-type]


def read_yaml(path: Path, what: str) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    ConfigError
        The file cannot be read (name ``what`` it should be) or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # of another encoding, or a name with a null in it
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); name {what}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: no valid YAML ({' '.join(str(error).split())})") from error


def write_yaml(settings: Mapping[str, Any]) -> str:
    """Write settings, plain JSON, as YAML in their order."""
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def plain(value: Any) -> Any:
    """Make lists of tuples: YAML and JSON have no others."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


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
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise ConfigError(f"--set {change!r}: {parent!r} is a value, not a section")
    try:
        place[leaf] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"--set {change!r}: {text!r} is no valid YAML value") from error


def read_section(kind: type[SectionType], raw: Any, where: str, prefix: str = "") -> SectionType:
    """Make a frozen dataclass of a YAML section, every key, type and value checked.

    A section without anything in it has its defaults.

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
        A key is unknown (the nearest valid one is named), or a value is missing, has the wrong
        type or is refused by the section itself.
    """
    if not isinstance(raw, Mapping):
        named = f"{prefix.rstrip('.')} is {raw!r}" if prefix else f"holds {type(raw).__name__}"
        raise ConfigError(f"{where}: {named}, expected a section of keys and values")
    hints = get_type_hints(kind)
    keys = [field.name for field in fields(kind)]
    for key in raw:
        if key not in keys:
            hint = _nearest(str(key), prefix, keys, getattr(kind, "MOVED", {}))
            raise ConfigError(f"{where}: unknown key {prefix + str(key)!r}; {hint}")
    empty = {k for k, v in raw.items() if v is None and is_dataclass(hints[k])}
    given = {k: v for k, v in raw.items() if k not in empty}
    values = {k: _value(hints[k], v, where, prefix + str(k)) for k, v in given.items()}
    required = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    if missing := [name for name in required if name not in values]:
        raise ConfigError(f"{where}: {prefix}{missing[0]} is missing; give it a value")
    try:
        return kind(**values)
    except (AgentError, ConfigError, EvolveError, MarketError, MergeError) as error:
        raise ConfigError(f"{where}: {prefix}{error}") from error


def _nearest(key: str, prefix: str, keys: Sequence[str], moved: Mapping[str, str]) -> str:
    if key in moved:
        return f"it is now {moved[key]}"
    near = difflib.get_close_matches(key, [*keys, *moved], n=1)
    if not near:
        return f"valid: {', '.join(keys)}"
    return f"did you mean {moved.get(near[0], repr(prefix + near[0]))}?"


def _value(hint: Any, raw: Any, where: str, key: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if raw is None:
            return None
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
    if isinstance(hint, type) and is_dataclass(hint):
        return read_section(hint, raw, where, key + ".")
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if inner == (str, Ellipsis) and isinstance(raw, str):  # one text is a list of one
            raw = [raw]
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
        raise ConfigError(f"{where}: {key} is {raw!r}, expected {WORDS[hint]}")
    return raw
