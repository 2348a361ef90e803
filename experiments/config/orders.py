"""The section ``orders``: the order generator that knows regimes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from evobourse.agents.bounds import Bounds
from evobourse.agents.crowds.order_regimes import LONGEST_DAYS, Fit
from evobourse.experiments.config.sections import Section
from evobourse.experiments.errors import ConfigError


@dataclass(frozen=True)
class OrderSettings(Section):
    """How orders are fitted to training days, see `agents.crowds.order_regimes`.

    Attributes
    ----------
    regimes
        Of the market, told by recent volatility and trend.
    mixture
        How offsets and volumes are fitted in each regime.
    components
        Normals of that mixture.
    seed
        Of the fits' starts.
    """

    regimes: Annotated[int, Bounds(1, 10)] = 3
    mixture: Fit = "gaussian"
    components: Annotated[int, Bounds(1, 20)] = 4
    seed: Annotated[int, Bounds(0)] = 0


@dataclass(frozen=True)
class ScenarioOrders(OrderSettings):
    """The order generator of a scenario, whose exchange keeps orders for days.

    Attributes
    ----------
    longest_days
        Most days that an order lives; a sweep's market knows one alone.
    by_style
        Whether a persona's mixture decides its style of orders, see
        `agents.personas.traits.ORDER_STYLES`, where it has none of its own.
    series
        What is fitted.
    until
        Its last day (ISO); by default of what the quickstart trains on.
    """

    longest_days: Annotated[int, Bounds(1, LONGEST_DAYS, "days")] = LONGEST_DAYS
    by_style: bool = False
    series: str = "sp500"
    until: str = "2006-12-29"

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            date.fromisoformat(self.until)
        except ValueError as error:
            raise ConfigError(f"until is {self.until!r}, expected a date (ISO)") from error
