"""Exponential, logarithm and normal quantile in IEEE arithmetic alone: the same bits anywhere.

What a system's library returns for these depends on the processor in the last bit.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_INVERSE_LN2 = 1.44269504088896338700
_SQRT_HALF = 0.70710678118654752440
_LARGEST, _SMALLEST = 709.0, -708.0
_BIAS, _MANTISSA_BITS = 1023, 52


@njit(cache=True)
def exponential(x: float) -> float:
    """Return e to the power of x, to within two ulp; of an x beyond -708 or 709, of these.

    Notes
    -----
    ``x = k ln 2 + r``, in two parts so that r is exact, and the Taylor series of exp r to the
    13th power, whose rest is under 5e-18 for ``|r| <= ln 2 / 2``.
    """
    x = min(max(x, _SMALLEST), _LARGEST)
    k = np.rint(x * _INVERSE_LN2)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    y = r * (1.0 / 6_227_020_800.0) + 1.0 / 479_001_600.0
    y = y * r + 1.0 / 39_916_800.0
    y = y * r + 1.0 / 3_628_800.0
    y = y * r + 1.0 / 362_880.0
    y = y * r + 1.0 / 40_320.0
    y = y * r + 1.0 / 5_040.0
    y = y * r + 1.0 / 720.0
    y = y * r + 1.0 / 120.0
    y = y * r + 1.0 / 24.0
    y = y * r + 1.0 / 6.0
    y = y * r + 0.5
    y = y * r + 1.0
    y = y * r + 1.0
    # Two to the power of k by its bits, so that loops over this have no call and no branch.
    power = np.int64((int(k) + _BIAS) << _MANTISSA_BITS).view(np.float64)
    return float(y * power)


@njit(cache=True)
def logarithm(x: float) -> float:
    """Return the natural logarithm of x, over 0, to within an ulp.

    Notes
    -----
    ``x = 2**k (1 + f)`` and a polynomial in ``f / (2 + f)``, as in Sun's fdlibm (1993), e_log.c.
    """
    m, k = math.frexp(x)
    if m < _SQRT_HALF:
        m, k = 2.0 * m, k - 1
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (
        3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)
    )
    odd = z * (
        6.666666666666735130e-01
        + w
        * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    half = 0.5 * f * f
    return float(k * _LN2_HIGH - ((half - (s * (half + (even + odd)) + k * _LN2_LOW)) - f))


@njit(cache=True)
def logarithms(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the natural logarithms of whole numbers over 0, int64[H]: float64[H]."""
    found = np.empty(values.size)
    for i in range(values.size):
        found[i] = logarithm(float(values[i]))
    return found


@njit(cache=True)
def normal_quantile(p: float) -> float:
    """Return the standard normal's quantile at p in (0, 1), with a relative error under 2e-15.

    Notes
    -----
    Wichura (1988), Algorithm AS 241, Journal of the Royal Statistical Society C 37(3), 477-484,
    doi:10.2307/2347330.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above = 2509.0809287301226727 * r + 33430.575583588128105
        above = (above * r + 67265.770927008700853) * r + 45921.953931549871457
        above = (above * r + 13731.693765509461125) * r + 1971.5909503065514427
        above = (above * r + 133.14166789178437745) * r + 3.387132872796366608
        below = 5226.495278852545925 * r + 28729.085735721942674
        below = (below * r + 39307.89580009271061) * r + 21213.794301586595867
        below = (below * r + 5394.1960214247511077) * r + 687.1870074920579083
        below = (below * r + 42.313330701600911252) * r + 1.0
        return float(q * above / below)
    r = math.sqrt(-logarithm(min(p, 1.0 - p)))
    if r <= 5.0:
        r -= 1.6
        above = 7.7454501427834140764e-4 * r + 0.0227238449892691845833
        above = (above * r + 0.24178072517745061177) * r + 1.27045825245236838258
        above = (above * r + 3.64784832476320460504) * r + 5.7694972214606914055
        above = (above * r + 4.6303378461565452959) * r + 1.42343711074968357734
        below = 1.05075007164441684324e-9 * r + 5.475938084995344946e-4
        below = (below * r + 0.0151986665636164571966) * r + 0.14810397642748007459
        below = (below * r + 0.68976733498510000455) * r + 1.6763848301838038494
        below = (below * r + 2.05319162663775882187) * r + 1.0
    else:
        r -= 5.0
        above = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        above = (above * r + 0.0012426609473880784386) * r + 0.026532189526576123093
        above = (above * r + 0.29656057182850489123) * r + 1.7848265399172913358
        above = (above * r + 5.4637849111641143699) * r + 6.6579046435011037772
        below = 2.04426310338993978564e-15 * r + 1.4215117583164458887e-7
        below = (below * r + 1.8463183175100546818e-5) * r + 7.868691311456132591e-4
        below = (below * r + 0.0148753612908506148525) * r + 0.13692988092273580531
        below = (below * r + 0.59983220655588793769) * r + 1.0
    return float(above / below if q > 0 else -above / below)


@cache
def normal_table() -> NDArray[np.float32]:
    """Return the standard normal's quantiles at the middles of 65,536 equal parts; read only.

    float32[65536], from -4.32 to 4.32, mean 0, variance 0.99998.
    """
    table = _normal_table()
    table.setflags(write=False)
    return table


@njit(cache=True)
def _normal_table() -> NDArray[np.float32]:
    table = np.empty(65_536, np.float32)
    for part in range(65_536):
        table[part] = np.float32(normal_quantile((part + 0.5) / 65_536))
    return table
