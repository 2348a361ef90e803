"""The reference of a config: every key with its default, values, unit and meaning.

All of it is read from the sections' classes: meanings stand in the Attributes of their docstrings,
values and units in the annotations.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import yaml

from evobourse.agents.bounds import Bounds
from evobourse.experiments.config.sections import WORDS, plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    SectionClass = type[DataclassInstance]

REQUIRED = "required"


@dataclass(frozen=True)
class Setting:
    """A key of a section.

    Attributes
    ----------
    key
        Without the section's.
    default
        As YAML; `REQUIRED` where there is none.
    values
        What is allowed, in words, with the unit of a number.
    meaning
        One paragraph; code stands in single backquotes.
    """

    key: str
    default: str
    values: str
    meaning: str


@dataclass(frozen=True)
class SectionReference:
    """A section of a config.

    Attributes
    ----------
    key
        Dotted; empty for the file itself. ``[]`` stands for each entry of a list, ``NAME`` for any
        name.
    meaning
        Paragraphs.
    settings
        Those that are no sections by themselves, in order.
    """

    key: str
    meaning: str
    settings: tuple[Setting, ...]


def describe(kind: SectionClass, key: str = "") -> Iterator[SectionReference]:
    """Walk a config's sections, each before those within it."""
    settings, inner = [], []
    for field, hint in settings_of(kind):
        name = f"{key}.{field.name}" if key else field.name
        below = section_of(hint)
        if not is_inner(field):
            meaning = meanings(kind)[field.name]
            settings.append(Setting(field.name, _default(field), say(hint), meaning))
        if below is not None:
            inner.append((below, name + _place(hint)))
    yield SectionReference(key, summary(kind), tuple(settings))
    for below, name in inner:
        yield from describe(below, name)


def settings_of(kind: SectionClass) -> Iterator[tuple[Field[Any], Any]]:
    """Walk a section's fields with their annotations, bounds included."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        yield field, hints[field.name]


def is_inner(field: Field[Any]) -> bool:
    """Tell whether a setting is always a section, which an empty one leaves at its defaults."""
    return isinstance(field.default_factory, type) and is_dataclass(field.default_factory)


def section_of(hint: Any) -> SectionClass | None:
    """Return the section in an annotation, itself or as an entry; None where there is none."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    found = (section_of(part) for part in get_args(hint))
    return next((kind for kind in found if kind is not None), None)


@cache
def meanings(kind: type) -> Mapping[str, str]:
    """Read what each attribute means from a class's numpydoc docstring and those of its bases."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
        if "Attributes" not in lines:
            continue
        names: list[str] = []
        told: dict[str, list[str]] = {}
        body = lines[lines.index("Attributes") + 2 :]
        for line, after in zip(body, [*body[1:], ""], strict=True):
            if after.startswith("---"):  # the next part's title
                break
            if line.startswith(" "):
                for name in names:
                    told[name].append(line.strip())
            elif line:
                names = [name.strip() for name in line.partition(" : ")[0].split(",")]
                told |= {name: [] for name in names}
        found |= {name: _code(" ".join(text)) for name, text in told.items()}
    return found


def summary(kind: type) -> str:
    """Return what a class's docstring says before its attributes."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes\n")[0]
    return _code("\n\n".join(" ".join(part.split()) for part in text.split("\n\n")))


def say(hint: Any) -> str:
    """Put an annotation into words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = next(mark for mark in hint.__metadata__ if isinstance(mark, Bounds))
        unit = f" ({bounds.unit})" if bounds.unit else ""
        return say(parts[0]) + unit + (f", {bounds}" if str(bounds) else "")
    if origin in (Union, types.UnionType):
        return ", or ".join(["null" if part is type(None) else say(part) for part in parts])
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        count = "" if parts[-1] is Ellipsis else f" of {len(parts)}"
        return f"a list{count}, each {say(parts[0])}"
    if origin is dict:
        return f"names, each with {say(parts[1])}"
    return "a section" if is_dataclass(hint) else WORDS[hint]


def to_markdown(title: str, kind: SectionClass, level: int = 2) -> str:
    """Write the reference of a file as a chapter of a Markdown page."""
    lines = [f"{'#' * level} {title}", ""]
    for section in describe(kind):
        if section.key:
            lines += [f"{'#' * (level + 1)} {section.key}", ""]
        lines += [section.meaning, ""]
        if section.settings:
            lines += ["| key | default | values | meaning |", "|---|---|---|---|"]
            lines += [_row(setting) for setting in section.settings]
            lines.append("")
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    default = setting.default if setting.default == REQUIRED else f"`{setting.default}`"
    cells = (f"`{setting.key}`", default, setting.values, setting.meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _place(hint: Any) -> str:
    """Say where in a setting its section stands: itself, each entry of a list, under any name."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is tuple:
            return "[]"
        if get_origin(part) is dict:
            return ".NAME"
    return ""


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return REQUIRED
    value = default_of(field)
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def default_of(field: Field[Any]) -> Any:
    """Return a field's default as plain JSON."""
    value = field.default if field.default_factory is MISSING else field.default_factory()

    def bare(value: Any) -> Any:
        if isinstance(value, tuple):
            return [bare(item) for item in value]
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value

    return plain(bare(value))


def _code(text: str) -> str:
    return text.replace("``", "`")
