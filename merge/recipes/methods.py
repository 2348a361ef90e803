"""What each merge method takes: weights, densities, options, a base, random numbers.

As in mergekit 0.1.5; values from which it would make nonsense without a word are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from evobourse.merge.errors import RecipeError

Option = bool | int | float
_SPARSE = {"normalize": bool, "rescale": bool, "lambda": float, "int8_mask": bool}


@dataclass(frozen=True)
class Method:
    """What a merge method takes.

    Attributes
    ----------
    weights
        ``"source"``: one weight a source; ``"t"``: one number, the way from the base to the
        source; ``"none"``: the method weighs by itself.
    base
        Whether the base is among what is merged.
    sources
        Least and most sources.
    density
        Whether sources' differences are thinned out, each to a density.
    random
        Whether they are thinned out by chance.
    normalize
        Whether the result is divided by the sum of weights unless an option says otherwise.
    options
        Names and types of mergekit's further parameters.
    """

    weights: Literal["source", "t", "none"] = "source"
    base: bool = True
    sources: tuple[int, float] = (1, math.inf)
    density: bool = False
    random: bool = False
    normalize: bool = False
    options: Mapping[str, type] = field(default_factory=dict)

    @property
    def keeps_shared(self) -> bool:
        """Whether a tensor that all sources share with the base comes out in the same bits."""
        return self.base and self.weights != "t" and not self.random


METHODS: Mapping[str, Method] = {
    "linear": Method(base=False, normalize=True, options={"normalize": bool}),
    "slerp": Method("t", sources=(1, 1)),
    "nuslerp": Method(
        sources=(2, 2),
        normalize=True,
        options={"nuslerp_row_wise": bool, "nuslerp_flatten": bool},
    ),
    "task_arithmetic": Method(options=_SPARSE),
    "ties": Method(density=True, normalize=True, options=_SPARSE),
    "dare_ties": Method(density=True, random=True, options=_SPARSE),
    "dare_linear": Method(density=True, random=True, options=_SPARSE),
    "della": Method(
        density=True, random=True, normalize=True, options={**_SPARSE, "epsilon": float}
    ),
    "della_linear": Method(density=True, random=True, options={**_SPARSE, "epsilon": float}),
    "breadcrumbs": Method(density=True, options={**_SPARSE, "gamma": float}),
    "breadcrumbs_ties": Method(density=True, options={**_SPARSE, "gamma": float}),
    "model_stock": Method("none", sources=(2, math.inf), options={"filter_wise": bool}),
    "karcher": Method("none", base=False, options={"max_iter": int, "tol": float}),
}
_DEFAULTS = {"epsilon": 0.15, "gamma": 0.01}  # mergekit's own


def find_method(name: str) -> Method:
    """Look a method up by mergekit's name for it."""
    if name not in METHODS:
        raise RecipeError(f"recipe.method: is {name!r}, expected {_listed(METHODS)}")
    return METHODS[name]


def check_options(name: str, options: Mapping[str, Option]) -> None:
    """Refuse option names that mergekit would ignore, and values of another type."""
    known = METHODS[name].options
    for key, value in options.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {_listed(known) or 'none'}"
            raise RecipeError(f"recipe.options: {name} takes no {key!r}; {hint}")
        kinds = (int, float) if known[key] is float else known[key]
        right = isinstance(value, kinds) and isinstance(value, bool) == (known[key] is bool)
        if not right or not math.isfinite(value):
            raise RecipeError(
                f"recipe.options.{key}: is {value!r}, expected a finite {known[key].__name__}"
            )
        if key in ("epsilon", "gamma") and not 0 <= value < 1:
            raise RecipeError(f"recipe.options.{key}: is {value!r}, expected 0 to below 1")


def check_weights(
    name: str, where: str, row: Sequence[float], sources: int, options: Mapping[str, Option]
) -> None:
    """Refuse weights of the wrong number, that are not finite, or that sum to zero."""
    method = METHODS[name]
    count = {"source": sources, "t": 1, "none": 0}[method.weights]
    if len(row) != count or not all(map(math.isfinite, row)):
        each = {"source": "one per source", "t": "t", "none": "the method weighs by itself"}
        raise RecipeError(
            f"{where}: is {tuple(row)}, expected {count} finite numbers, {each[method.weights]}"
        )
    divides = options.get("normalize", method.normalize)
    if method.weights == "source" and divides and abs(sum(row)) < 1e-6:
        raise RecipeError(
            f"{where}: {name} weights sum to zero: {tuple(row)}; it divides by their sum"
        )


def check_densities(
    name: str, where: str, row: Sequence[float], sources: int, options: Mapping[str, Option]
) -> None:
    """Refuse densities outside 0 to 1, and those that the method's options leave no room for."""
    if len(row) != sources or not all(0 < density <= 1 for density in row):
        raise RecipeError(
            f"{where}: is {tuple(row)}, expected {sources} numbers above 0 and up to 1, "
            "one per source"
        )
    known = METHODS[name].options
    for density in (density for density in row if density < 1):
        if "epsilon" in known:
            epsilon = options.get("epsilon", _DEFAULTS["epsilon"])
            if not epsilon < density < 1 - epsilon:
                raise RecipeError(
                    f"{where}: is {tuple(row)}, expected densities of 1, or between epsilon and "
                    f"1 - epsilon (epsilon is {epsilon})"
                )
        if "gamma" in known:
            gamma = options.get("gamma", _DEFAULTS["gamma"])
            if density + gamma > 1:
                raise RecipeError(
                    f"{where}: is {tuple(row)}, expected densities of 1, or up to 1 - gamma "
                    f"(gamma is {gamma}); mergekit would drop fewer outliers without a word"
                )


def _listed(names: Mapping[str, object]) -> str:
    return " or ".join(", ".join(map(repr, names)).rsplit(", ", 1))
