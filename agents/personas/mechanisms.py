"""Settings of the mechanisms by which a society makes a market's facts, beside its minds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal, get_type_hints

from evobourse.agents.bounds import Bounds, bounds_of, check_bounds
from evobourse.agents.errors import AgentError

PersonaGene = Literal["activity", "dispersion", "size", "shared_reading"]
"""Traits of a persona that evolution may set, see `agents.personas.traits.Traits`."""

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
    shared_reading
        Standard deviation of what a persona's agents misread together in the day's news, which has
        1; times the persona's own (`agents.personas.traits.Traits.shared_reading`). What each
        misreads alone averages out over hundreds, this does not: who holds the market decides how
        nervous it is. Structural stochastic volatility: Franke and Westerhoff 2012, J. Econ. Dyn.
        Control 36(8), doi:10.1016/j.jedc.2011.10.004.
    misalignment
        Pull, on those who reconsider, of personas that lean against the deviation of the price
        from value: the odds of one are times ``exp(misalignment * lean * deviation**2)``, lean -1
        to 1 as its mind answers to the value sign alone, deviation as that sign measures it.
        Franke and Westerhoff 2012, eq. 6.
    value_news
        How far a perceived value moves with the day's news, in long-run volatilities for each
        deviation of the news. It takes the place of the yearly mean in the value sign and in
        misalignment; 0 keeps the yearly mean. On the first day it is the last close. A fundamental
        value that is a random walk: Lux and Marchesi 1999, Nature 397, doi:10.1038/17290.
    value_half_life_days
        In how many days the perceived value goes half the way to a price that stands still.
    equity_sized
        Part of an order's usual size that follows what its agent owns at yesterday's close, in the
        place of what it was endowed with. Thurner, Farmer and Geanakoplos 2012, Quantitative
        Finance 12(5), doi:10.1080/14697688.2012.674301.
    loss_asymmetry
        How much more a fall than a rise makes agents expect of moves: in the recent variance, by
        which they spread limit prices, a fall's square counts ``1 + loss_asymmetry`` times and a
        rise's ``1 - loss_asymmetry`` times. Glosten, Jagannathan and Runkle 1993, Journal of
        Finance 48(5), doi:10.1111/j.1540-6261.1993.tb05128.x.
    """

    two_sided: Annotated[float, Bounds(0, 1)] = 0.0
    half_spread: Annotated[float, Bounds(0.01, 3, "volatilities")] = 0.2
    shared_reading: Annotated[float, Bounds(0, 5, "deviations of the news")] = 0.0
    misalignment: Annotated[float, Bounds(0, 10)] = 0.0
    value_news: Annotated[float, Bounds(0, 3, "volatilities")] = 0.0
    value_half_life_days: Annotated[float, Bounds(20, 2_000, "trading days")] = 500.0
    equity_sized: Annotated[float, Bounds(0, 1)] = 0.0
    loss_asymmetry: Annotated[float, Bounds(0, 1)] = 0.0

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
