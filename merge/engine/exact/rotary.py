"""Angles of rotary positions, computed so that their cosines and sines are the same everywhere.

Frequencies come from decimal arithmetic, cosines and sines from polynomials in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.errors import ModelError

KINDS = ("default", "linear", "llama3", "yarn")
_PI = Decimal("3.14159265358979323846264338327950288419716939937510")
# Of pi / 2: two parts of 33 bits, whose multiples are exact, and what is left.
_HALF_PI = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(10)]


def frequencies(settings: Mapping[str, Any], width: int) -> tuple[NDArray[np.float32], float]:
    """Return the inverse frequencies of rotary positions, and a factor on cosines and sines.

    Parameters
    ----------
    settings
        A config's rotary parameters: ``rope_type``, ``rope_theta`` and what the type asks for, as
        transformers reads them. ``llama3`` is Dubey et al. 2024 (arXiv:2407.21783), ``yarn`` is
        Peng et al. 2023 (arXiv:2309.00071).
    width
        Of a head, as far as it is turned.

    Returns
    -------
    tuple
        float32[width / 2] and the factor.

    Raises
    ------
    ModelError
        Another type.
    """
    kind = str(settings.get("rope_type", "default"))
    if kind not in KINDS:
        raise ModelError(
            f"base: rotary positions of type {kind!r}; known: {', '.join(KINDS)}; use another base"
        )
    with localcontext() as context:
        context.prec = 40
        base = Decimal(str(settings["rope_theta"]))
        plain = [1 / base ** (Decimal(2 * k) / width) for k in range(width // 2)]
        factor = Decimal(str(settings.get("factor") or 1))
        scale = 1.0
        if kind == "linear":
            plain = [frequency / factor for frequency in plain]
        elif kind == "llama3":
            plain = [_llama3(frequency, factor, settings) for frequency in plain]
        elif kind == "yarn":
            plain, scale = _yarn(plain, base, factor, width, settings)
        return np.array([float(frequency) for frequency in plain], np.float32), scale


def _llama3(frequency: Decimal, factor: Decimal, settings: Mapping[str, Any]) -> Decimal:
    low, high, length = (
        Decimal(str(settings[name]))
        for name in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    )
    turns = length * frequency / (2 * _PI)  # within the first length
    if turns < low:
        return frequency / factor
    if turns > high:
        return frequency
    share = (turns - low) / (high - low)
    return (1 - share) * frequency / factor + share * frequency


def _yarn(
    plain: list[Decimal], base: Decimal, factor: Decimal, width: int, settings: Mapping[str, Any]
) -> tuple[list[Decimal], float]:
    if settings.get("mscale") or settings.get("mscale_all_dim"):
        raise ModelError("base: rotary positions with mscale are not known; use another base")
    length = Decimal(str(settings["original_max_position_embeddings"]))

    def place(turns: Any) -> Decimal:
        """Return the dimension that turns so often within the first length."""
        return width * (length / (Decimal(str(turns)) * 2 * _PI)).ln() / (2 * base.ln())

    low, high = place(settings.get("beta_fast") or 32), place(settings.get("beta_slow") or 1)
    if settings.get("truncate", True):
        low, high = Decimal(math.floor(low)), Decimal(math.ceil(high))
    low, high = max(low, Decimal(0)), min(high, Decimal(width - 1))
    if low == high:
        high += Decimal("0.001")
    found = []
    for k, frequency in enumerate(plain):
        ramp = min(max((k - low) / (high - low), Decimal(0)), Decimal(1))
        found.append(frequency / factor * ramp + frequency * (1 - ramp))
    scale = settings.get("attention_factor")
    if scale is None:
        scale = 1 if factor <= 1 else Decimal("0.1") * factor.ln() + 1
    return found, float(scale)


def turn_table(
    inverse: NDArray[np.float32], positions: NDArray[np.int64], scale: float = 1.0
) -> NDArray[np.float32]:
    """Return cosines and sines of positions: float32[positions, 2, frequencies].

    The angle is a product in float32, as transformers takes it; its cosine errs by half a unit in
    the last place of float32, and scarcely more.
    """
    angles = (positions.astype(np.float32)[:, None] * inverse).astype(np.float64)
    # One IEEE operation a step: numpy's own cos and sin depend on the processor.
    quarter = np.rint(angles * (2 / math.pi))
    rest = angles
    for part in _HALF_PI:
        rest = rest - quarter * part
    square = rest * rest
    sine, cosine = rest * _polynomial(_SINE, square), _polynomial(_COSINE, square)
    odd, turned = quarter % 2 == 1, quarter % 4
    cosines = np.where(odd, sine, cosine) * np.where((turned == 1) | (turned == 2), -1.0, 1.0)
    sines = np.where(odd, cosine, sine) * np.where(turned >= 2, -1.0, 1.0)
    table = np.stack([cosines, sines], axis=1).astype(np.float32)
    return table * np.float32(scale)


def _polynomial(coefficients: list[float], square: NDArray[np.float64]) -> NDArray[np.float64]:
    value = np.full_like(square, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * square + coefficient
    return value
