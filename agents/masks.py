"""Input masks: each agent's blind spots, some drawn once and for good, some every day anew.

A kind of mask is a probability in `Masks` and a line in `draw_fields` or `day_masks`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES
from evobourse.market import philox

MASK = philox.Purpose.MASK
_FIELDS = len(FIELD_NAMES)


@dataclass(frozen=True)
class Masks:
    """How likely each kind of mask hides a field from an agent.

    Every attribute is a probability, and a gene of the same name may set it; of ``mask`` there is
    a gene a field, ``mask_trend`` and so on (`evolve.genomes.market`).

    Attributes
    ----------
    mask
        Persistent: field name to the probability that an agent never sees it, drawn once.
    momentary_mask
        Momentary: probability that an agent misses a field it could see, drawn every day.

    Raises
    ------
    AgentError
        ``mask`` does not name every field, or names another.
    """

    mask: dict[str, float]
    momentary_mask: float = 0.1

    def __post_init__(self) -> None:
        if set(self.mask) != set(FIELD_NAMES):
            raise AgentError(
                f"society.mask: has fields {sorted(self.mask)}, expected {sorted(FIELD_NAMES)}"
            )

    @property
    def rates(self) -> NDArray[np.float64]:
        """The probabilities of the momentary kinds, in the order of their attributes."""
        return np.array([getattr(self, one.name) for one in fields(Masks) if one.name != "mask"])

    def unmasked(self) -> Self:
        """Return the same settings with every mask off."""
        off = {one.name: 0.0 for one in fields(Masks) if one.name != "mask"}
        return replace(self, mask=dict.fromkeys(FIELD_NAMES, 0.0), **off)


def draw_fields(
    masks: Masks, attention: int, never: NDArray[np.bool_], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Draw the fields that each agent ever sees.

    Parameters
    ----------
    masks
        Probabilities of the kinds.
    attention
        Most fields that an agent sees; which of those that no mask hides, is drawn.
    never
        bool[n, F]: fields that an agent is not shown in any case.
    uniform
        float64[n, F, 2]: whether a mask hides a field, and how soon it is attended to.

    Returns
    -------
    NDArray
        int64[n, attention], rows of `agents.observation.FIELDS`, -1 for none.
    """
    chance = np.array([masks.mask[name] for name in FIELD_NAMES])
    hidden = never | (uniform[..., 0] < chance)
    return _attend(hidden, uniform[..., 1], attention)


@njit(cache=True)
def _attend(
    hidden: NDArray[np.bool_], priority: NDArray[np.float64], attention: int
) -> NDArray[np.int64]:
    """Choose the fields of highest priority, float64[n, F], that are not hidden, bool[n, F]."""
    n, fields = hidden.shape
    seen = np.full((n, attention), -1)
    for i in range(n):
        left = hidden[i].copy()
        for a in range(attention):
            best = -1
            for field in range(fields):
                if not left[field] and (best < 0 or priority[i, field] > priority[i, best]):
                    best = field
            if best < 0:
                break
            seen[i, a], left[best] = best, True
    return seen


@njit(cache=True)
def day_masks(rates: NDArray[np.float64], day: int, key: np.uint64) -> NDArray[np.float64]:
    """Return the chance with which each field is hidden from an agent on a day: float64[F].

    Parameters
    ----------
    rates
        See `Masks.rates`.
    day, key
        Of the market; what a kind draws for all agents alike, it draws by them
        (`market.philox.draw_uniform`).
    """
    hidden = np.full(_FIELDS, rates[0])
    return hidden
