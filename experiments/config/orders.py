"""Settings of the order generator that knows regimes, and its fit to a real series.

Knows which days are fitted. Deliberately does not know what an order is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from evobourse.agents.crowds.order_regimes import Fit, OrderRegimes, fit_regimes, measure_orders
from evobourse.experiments.errors import ConfigError
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries


@dataclass(frozen=True)
class OrderSettings:
    """How orders are fitted to training days, see `crowds.order_regimes`; in a sweep's config.

    Attributes
    ----------
    regimes
        Of the market, told by recent volatility and trend.
    mixture
        ``gaussian`` or ``kmeans``, of offsets and volumes in each regime.
    components
        Normals of it.
    seed
        Of the fits' starts.
    """

    regimes: int = 3
    mixture: Fit = "gaussian"
    components: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, most in (("regimes", 10), ("components", 20), ("longest_days", 10)):
            value = getattr(self, name, 1)
            if not 1 <= value <= most:
                raise ConfigError(f"orders.{name} is {value}, expected 1 to {most}")


@dataclass(frozen=True)
class ScenarioOrders(OrderSettings):
    """The same in a scenario, whose exchange keeps orders for days.

    Attributes
    ----------
    longest_days
        Most days that an order lives; a sweep's market knows one alone.
    by_style
        Whether a persona's mixture decides its style of orders, see
        `agents.personas.traits.ORDER_STYLES`, where it has none of its own.
    series, until
        What is fitted, and its last day; by default what the quickstart trains on.
    """

    longest_days: int = 10
    by_style: bool = False
    series: str = "sp500"
    until: str = "2006-12-29"

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            date.fromisoformat(self.until)
        except ValueError as error:
            raise ConfigError(f"orders.until is {self.until!r}, expected a date (ISO)") from error

    def fit(self) -> OrderRegimes:
        """Fit to the series up to the last day.

        Raises
        ------
        ConfigError
            Too few days.
        market.errors.MarketError
            The series cannot be loaded.
        """
        series = load_series(self.series)
        stop = int((series.dates <= np.datetime64(self.until)).sum())
        return fit_orders(series.slice(0, stop), self, self.longest_days)


def fit_orders(train: PriceSeries, settings: OrderSettings, longest_days: int = 1) -> OrderRegimes:
    """Fit an order generator to training days."""
    real = measure_orders(train.high, train.low, train.close, train.volume)
    return fit_regimes(
        real, settings.regimes, settings.mixture, settings.components, longest_days, settings.seed
    )
