"""The order generator that a config asks for, fitted to real days."""

from __future__ import annotations

import numpy as np

from evobourse.agents.crowds.order_regimes import OrderRegimes, fit_regimes, measure_orders
from evobourse.experiments.config.orders import OrderSettings, ScenarioOrders
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries


def fit_orders(train: PriceSeries, settings: OrderSettings, longest_days: int = 1) -> OrderRegimes:
    """Fit an order generator to training days."""
    real = measure_orders(train.high, train.low, train.close, train.volume)
    return fit_regimes(
        real, settings.regimes, settings.mixture, settings.components, longest_days, settings.seed
    )


def fit_scenario_orders(settings: ScenarioOrders) -> OrderRegimes:
    """Fit a scenario's order generator to its series, up to the last day.

    Raises
    ------
    AgentError
        Too few days.
    MarketError
        The series cannot be loaded.
    """
    series = load_series(settings.series)
    stop = int((series.dates <= np.datetime64(settings.until)).sum())
    return fit_orders(series.slice(0, stop), settings, settings.longest_days)
