"""Recipes as mergekit's own YAML, written and read: one slice a block, filters, options at the top.

What mergekit would ignore without a word is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import yaml

from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.methods import Method, Option, find_method
from evobourse.merge.recipes.recipe import FILTERS, FilterSetting, Recipe, Rows

_TABLES = {"weight": "weights", "density": "densities", "t": "weights"}
_Tables = dict[tuple[str, int, int], dict[str | None, float]]
"""Values by filter (None: the rest), of a parameter, a block and a source."""
_TOP = ("merge_method", "slices", "models", "base_model", "parameters", "dtype")


def write_recipe(recipe: Recipe, depth: int, folders: Mapping[str, str] | None = None) -> str:
    """Write a recipe for mergekit's command line: one slice a block.

    Parameters
    ----------
    recipe
        What to write. A seed has no place in the YAML: it goes to ``--random-seed``.
    depth
        Number of layers of the models.
    folders
        What to write for a model's name, such as its folder; the name itself where absent.
    """
    method = find_method(recipe.method)
    place = {name: (folders or {}).get(name, name) for name in (recipe.base, *recipe.sources)}
    blocks = len(recipe.weights)
    edges = [depth * b // blocks for b in range(blocks + 1)]
    slices: list[dict[str, Any]] = []
    for block in range(blocks):
        span = [edges[block], edges[block + 1]]
        entries: list[dict[str, Any]] = []
        for at, name in enumerate(recipe.sources):
            values = {p: _value(recipe, p, block, at) for p in _per_source(method)}
            entry: dict[str, Any] = {"model": place[name], "layer_range": span}
            entries.append({**entry, **({"parameters": values} if values else {})})
        if method.base:
            entries.insert(0, {"model": place[recipe.base], "layer_range": span})
        shared = {p: _value(recipe, p, block, 0) for p in _shared(method)}
        slices.append({"sources": entries, **({"parameters": shared} if shared else {})})
    config: dict[str, Any] = {"merge_method": recipe.method, "slices": slices}
    # Where the base takes no part, it still lends its config and tokenizer.
    config["base_model"] = place[recipe.base]
    if recipe.options:
        config["parameters"] = dict(recipe.options)
    return yaml.safe_dump({**config, "dtype": "float32"}, sort_keys=False)


def read_recipe(text: str | bytes, seed: int | None = None) -> Recipe:
    """Read a recipe from mergekit's YAML.

    Parameters
    ----------
    text
        The YAML, with ``slices`` (equal spans, one source list each) or ``models`` (one block).
    seed
        For the methods that draw random numbers.

    Raises
    ------
    RecipeError
        The YAML is malformed, has keys or parameters that mergekit would ignore, gradients,
        unequal slices, or whatever `merge.recipes.recipe.Recipe` refuses.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe: no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict):
        raise RecipeError("recipe: is no mapping, expected mergekit's merge configuration")
    _known("", config, _TOP)
    method = find_method(str(config.get("merge_method")))
    if config.get("dtype") != "float32":
        raise RecipeError(
            f"recipe.dtype: is {config.get('dtype')!r}, expected 'float32', in which recipes merge"
        )
    if "slices" in config and "models" in config:
        raise RecipeError("recipe: has both slices and models, expected one of the two")
    slices = config.get("slices") or [{"sources": config.get("models")}]
    names = _sources(slices, config.get("base_model") if method.base else None)
    base = config.get("base_model", None if method.base else names[0])
    if not isinstance(base, str):
        raise RecipeError(f"recipe.base_model: is {base!r}, expected a model's name")
    tables: _Tables = {}
    for block, entry in enumerate(slices):
        for at, name in enumerate(names):
            source = next(s for s in entry["sources"] if s["model"] == name)
            where = f".slices[{block}]"
            layers = [
                (f"{where}.{name}", source.get("parameters") or {}, _per_source(method)),
                (where, entry.get("parameters") or {}, (*_per_source(method), *_shared(method))),
                ("", config.get("parameters") or {}, (*_parameters(method), *method.options)),
            ]
            for place, found, known in layers:
                _known(f"{place}.parameters", found, known)
            for parameter in _parameters(method):
                found = next((f[parameter] for _, f, _ in layers if parameter in f), None)
                if found is None:
                    raise RecipeError(f"recipe{where}: {name!r} has no {parameter}")
                tables[parameter, block, at] = _by_filter(f"recipe{where}.{name}", found)
    weights, densities = (_rows(tables, name, len(slices)) for name in ("weights", "densities"))
    used = sorted({f for table in tables.values() for f in table if f}, key=list(FILTERS).index)
    filters = {
        name: FilterSetting(
            _rows(tables, "weights", len(slices), name),
            _rows(tables, "densities", len(slices), name),
        )
        for name in used
    }
    given = config.get("parameters") or {}
    options = {key: _number(key, value) for key, value in given.items() if key in method.options}
    return Recipe(
        config["merge_method"],
        base,
        tuple(names),
        weights or ((),) * len(slices),
        densities,
        filters,
        options,
        seed,
    )


def _per_source(method: Method) -> tuple[str, ...]:
    weight = ("weight",) if method.weights == "source" else ()
    return (*weight, *(("density",) if method.density else ()))


def _shared(method: Method) -> tuple[str, ...]:
    return ("t",) if method.weights == "t" else ()


def _parameters(method: Method) -> tuple[str, ...]:
    return _per_source(method) + _shared(method)


def _value(recipe: Recipe, parameter: str, block: int, source: int) -> Any:
    """Write one number, or a list of filters with theirs."""
    table = _TABLES[parameter]
    default = recipe.rows(table)[block][source]
    own = [name for name, s in recipe.filters.items() if getattr(s, table) is not None]
    entries: list[dict[str, Any]] = [
        {"filter": part, "value": recipe.rows(table, name)[block][source]}
        for name in own
        for part in FILTERS[name]
    ]
    return [*entries, {"value": default}] if entries else default


def _sources(slices: Any, base: str | None) -> list[str]:
    """List the models of all slices, which must be the same in each, over equal spans."""
    try:
        names = [[source["model"] for source in entry["sources"]] for entry in slices]
        spans = [[s.get("layer_range") for s in entry["sources"]] for entry in slices]
        for block, entry in enumerate(slices):
            _known(f".slices[{block}]", entry, ("sources", "parameters"))
            for source in entry["sources"]:
                _known(f".slices[{block}].sources", source, ("model", "layer_range", "parameters"))
        last = spans[-1][0][1] if spans[-1][0] else None
        edges = [last * b // len(slices) for b in range(len(slices) + 1)] if last else [None]
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise RecipeError(f"recipe: slices or models are malformed ({error!r})") from error
    want = [[list(pair)] * len(names[0]) for pair in pairwise(edges)]
    if not all(isinstance(name, str) for row in names for name in row):
        raise RecipeError("recipe: expected every model as one text, its name or folder")
    if any(sorted(row) != sorted(names[0]) for row in names) or (last and spans != want):
        raise RecipeError(
            "recipe.slices: expected the same models in every slice, over equal spans of layers"
        )
    return [name for name in names[0] if name != base]


def _by_filter(where: str, value: Any) -> dict[str | None, float]:
    """Read one number or a list of filters: filter name (None: the rest) to number."""
    if not isinstance(value, list):
        return {None: _number(where, value)}
    if not all(isinstance(entry, dict) and "value" in entry for entry in value):
        raise RecipeError(f"{where}: gradients are not supported; write one slice a block")
    found = {entry.get("filter"): _number(where, entry["value"]) for entry in value}
    found = {None if part == "*" else part: number for part, number in found.items()}
    if list(found)[-1:] != [None]:
        raise RecipeError(f"{where}: expected a value without a filter, for the rest, at the end")
    named: dict[str | None, float] = {None: found.pop(None)}
    for name, parts in FILTERS.items():
        numbers = {found.pop(part, None) for part in parts}
        if len(numbers) > 1:
            raise RecipeError(f"{where}: expected one value for the filters {' and '.join(parts)}")
        [number] = numbers
        if number is not None:
            named[name] = number
    if found:
        known = ", ".join(part for parts in FILTERS.values() for part in parts)
        raise RecipeError(f"{where}: unknown filter {next(iter(found))!r}; known: {known}")
    return named


def _rows(tables: _Tables, table: str, blocks: int, filter_name: str | None = None) -> Rows | None:
    parameters = {parameter for parameter, _, _ in tables if _TABLES[parameter] == table}
    if not any(filter_name in tables[key] for key in tables if key[0] in parameters):
        return None
    [parameter] = parameters
    rows: list[list[float]] = [[] for _ in range(blocks)]
    for (name, block, _), found in tables.items():
        if name == parameter:
            rows[block].append(float(found.get(filter_name, found[None])))
    return tuple(map(tuple, rows))


def _number(where: str, value: Any) -> Option:
    if isinstance(value, bool | int | float):
        return value
    try:
        return float(value)  # YAML 1.1 reads 1e-3 as text, mergekit as a number
    except (TypeError, ValueError):
        raise RecipeError(f"{where}: is {value!r}, expected a number") from None


def _known(where: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    known = list(known)
    for key in found:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
            raise RecipeError(
                f"recipe{where}: unknown key {key!r}, which mergekit would ignore; {hint}"
            )
