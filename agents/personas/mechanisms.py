"""Settings of the mechanisms by which a society makes a market's facts, beside its minds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, get_type_hints

from evobourse.agents.bounds import Bounds, bounds_of, check_bounds
from evobourse.agents.errors import AgentError

DETAILS = {"half_spread": "two_sided", "value_half_life_days": "value_news"}
"""Settings that mean nothing while another is off."""


@dataclass(frozen=True)
class Mechanisms:
    """What agents do beside deciding; 0 is off, and draws nothing.

    Attributes
    ----------
    two_sided
        Part of the agents, drawn once, who bid below and ask above their reservation price; of
        others an order stands on one side. The two cannot meet: an ask is a tick above its
        agent's bid at least. After Chiarella and Iori 2002, Quantitative Finance 2(5), whose
        agents quote around what they expect.
    half_spread
        How far below and above, in units of the volatility that scales limit prices.
    """

    two_sided: Annotated[float, Bounds(0, 1)] = 0.0
    half_spread: Annotated[float, Bounds(0.01, 3, "volatilities")] = 0.2

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)

    @property
    def on(self) -> dict[str, float]:
        """The settings that do something, by name."""
        values = {one.name: float(getattr(self, one.name)) for one in fields(self)}
        return {name: x for name, x in values.items() if values[DETAILS.get(name, name)]}


OFF = Mechanisms()


def bounds() -> dict[str, Bounds]:
    """Return what each setting may be."""
    hints = get_type_hints(Mechanisms, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := bounds_of(hint))}
