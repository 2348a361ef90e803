"""The JSON Schema of a config, for editors and other programs."""

from __future__ import annotations

import math
import types
from dataclasses import MISSING
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from evobourse.agents.bounds import Bounds
from evobourse.experiments.config.reference import (
    default_of,
    is_inner,
    meanings,
    settings_of,
    summary,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}


def to_schema(title: str, kind: type[DataclassInstance]) -> dict[str, Any]:
    """Write the schema of a whole file.

    What spans several keys is left to the sections' own checks.
    """
    return {"$schema": DIALECT, "title": title, **_section(kind)}


def _section(kind: type[DataclassInstance]) -> dict[str, Any]:
    keys, required = {}, []
    for field, hint in settings_of(kind):
        allowed = _allowed(hint)
        if is_inner(field):
            keys[field.name] = _or_null(allowed)
            continue
        keys[field.name] = {**allowed, "description": meanings(kind)[field.name]}
        if field.default is field.default_factory is MISSING:
            required.append(field.name)
        else:
            keys[field.name]["default"] = default_of(field)
    found = {"type": "object", "description": summary(kind), "properties": keys}
    return {**found, "required": required, "additionalProperties": False}


def _allowed(hint: Any) -> dict[str, Any]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        marks = [mark for mark in hint.__metadata__ if isinstance(mark, Bounds)]
        return {**_allowed(parts[0]), **_range(marks[0])}
    if origin in (Union, types.UnionType):
        return _or_null(_allowed(next(part for part in parts if part is not type(None))))
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is tuple:
        count = {} if parts[-1] is Ellipsis else {"minItems": len(parts), "maxItems": len(parts)}
        listed = {"type": "array", "items": _allowed(parts[0]), **count}
        # One text is a list of one, see `sections.read_section`.
        return {"anyOf": [{"type": "string"}, listed]} if parts == (str, Ellipsis) else listed
    if origin is dict:
        return {"type": "object", "additionalProperties": _allowed(parts[1])}
    return {"type": _TYPES[hint]} if hint in _TYPES else _section(hint)


def _range(bounds: Bounds) -> dict[str, Any]:
    low = {"exclusiveMinimum" if bounds.above else "minimum": bounds.least}
    high = {"maximum": bounds.most}
    return {key: x for key, x in {**low, **high}.items() if math.isfinite(x)}


def _or_null(allowed: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [allowed, {"type": "null"}]}
