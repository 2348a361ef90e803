"""Input masks: each agent's blind spots, some drawn once and for good, some every day anew.

A kind of mask is a probability in `Masks` and a line in `draw_fields` or `draw_day`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES


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

    def unmasked(self) -> Self:
        """Return the same settings with every mask off."""
        off = {one.name: 0.0 for one in fields(Masks) if one.name != "mask"}
        return replace(self, mask=dict.fromkeys(FIELD_NAMES, 0.0), **off)


def draw_fields(
    masks: Masks, attention: int, never: NDArray[np.bool_], rng: np.random.Generator
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
    rng
        Gives two numbers an agent and field.

    Returns
    -------
    NDArray
        int64[n, attention], rows of `agents.observation.FIELDS`, -1 for none.
    """
    uniform = rng.random((*never.shape, 2))
    hidden = never | (uniform[..., 0] < [masks.mask[name] for name in FIELD_NAMES])
    priority = np.where(hidden, -1.0, uniform[..., 1])
    attended = (-priority).argsort(axis=1)[:, :attention]
    seen = np.take_along_axis(priority, attended, axis=1) >= 0
    return np.where(seen, attended, -1)


def draw_day(masks: Masks, sees: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw what is left today of the fields that agents see, int64[n, A]: -1 for what is masked.

    A kind whose probability is 0 may draw no number of its own, so that a population without it
    plays as it did before there was such a kind.
    """
    uniform = rng.random(sees.shape[::-1]).T
    hidden = uniform < masks.momentary_mask
    return np.where(hidden, -1, sees)
