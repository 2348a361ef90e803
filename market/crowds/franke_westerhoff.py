"""The population of Franke and Westerhoff (2012) as agents who send orders.

References
----------
Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, 1193-1211,
doi:10.1016/j.jedc.2011.10.004.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.order_events import Kind
from evobourse.market.crowd import Crowd, MarketView, Orders
from evobourse.market.errors import MarketError


@dataclass(frozen=True)
class FrankeWesterhoff:
    """Parameters of the model; the defaults are the published estimates for the S&P 500.

    The defaults were compared with independent public implementations of the paper, which agree
    on all nine, not with the paper itself.

    Parameters
    ----------
    phi : float
        Fundamentalists' demand per unit of log misalignment, 0 or more.
    chi : float
        Chartists' demand per unit of the last log return, 0 or more.
    alpha_0 : float
        Predisposition, positive towards fundamentalism.
    alpha_n : float
        Herding, per unit of the majority.
    alpha_p : float
        Misalignment's pull towards fundamentalism, per squared log misalignment.
    sigma_f, sigma_c : float
        Standard deviation of the noise in a fundamentalist's and a chartist's demand, 0 or more.
    mu : float
        Price impact: log price per unit of excess demand.
    beta : float
        Intensity of choice.
    nu : float
        Degrees of freedom of Student noise, scaled to variance 1, over 2; infinite for the
        paper's normal noise.

    Raises
    ------
    MarketError
        If a parameter is not finite (but nu), or outside its range.
    """

    phi: float = 0.12
    chi: float = 1.50
    alpha_0: float = -0.327
    alpha_n: float = 1.79
    alpha_p: float = 18.43
    sigma_f: float = 0.758
    sigma_c: float = 2.087
    mu: float = 0.01
    beta: float = 1.0
    nu: float = math.inf

    def __post_init__(self) -> None:
        if not self.nu > 2.0:
            raise MarketError(f"Franke-Westerhoff parameter nu={self.nu}: use a number over 2")
        for name, value in asdict(self).items():
            if name == "nu":
                continue
            signed = name.startswith("alpha")
            if not np.isfinite(value) or (value < 0.0 and not signed):
                expected = "a finite number" if signed else "a finite number, 0 or more"
                raise MarketError(f"Franke-Westerhoff parameter {name}={value}: use {expected}")


PUBLISHED = FrankeWesterhoff()


class FrankeWesterhoffCrowd(Crowd):
    """Fundamentalists and chartists who choose their camp anew every day and then order.

    The equations are those of `fitness.baselines.franke_westerhoff`; the model has
    shares of a continuum, this crowd has agents::

        demand[i] = d_f or d_c of the agent's camp + dispersion * e[i]
        P(i is a fundamentalist) = 1 / (1 + exp(-beta a)),  a from the agents counted yesterday

    with the camps' noise common to all who are in them. Everybody orders once a day, in the
    first turn: in one of clearing "impact" at market, so that with an impact of `impact_per_lot`
    the price is the paper's and, as the agents become many, the returns are; in any other as one
    limit order at the reservation price ``ln r[i] = ln p + mu demand[i]``, the price at which
    the agent's linear demand ``demand[i] - (ln x - ln p) / mu`` is nil. (If all agents sent that
    whole schedule, a call would clear at the paper's price.)

    Parameters
    ----------
    parameters : FrankeWesterhoff
        As in `PUBLISHED`.
    n_agents : int
        How many, at least 1.
    value_ticks : float
        Fundamental value, over 0.
    rng : numpy.random.Generator
        Source of the camps' noise, two numbers a day as in the direct simulation; all that
        differs between agents comes from a stream spawned off it.
    lots : int
        Lots of one unit of demand, at least 1.
    dispersion : float
        Standard deviation of single demands within a camp, 0 or more.
    systematic : bool
        Draw choices by systematic sampling: each agent's probability is the same, but the share
        of fundamentalists is off it by less than one agent.
    asset : int
        Row of the asset traded.

    Attributes
    ----------
    fundamentalist : NDArray[np.bool_]
        Who is one, shape [n].

    Raises
    ------
    MarketError
        If a number is out of its range.
    """

    def __init__(
        self,
        parameters: FrankeWesterhoff,
        n_agents: int,
        value_ticks: float,
        rng: np.random.Generator,
        lots: int = 100,
        dispersion: float = 0.0,
        systematic: bool = False,
        asset: int = 0,
    ) -> None:
        for name, value, lowest in (
            ("n_agents", n_agents, 1),
            ("value_ticks", value_ticks, 1),
            ("lots", lots, 1),
            ("dispersion", dispersion, 0),
        ):
            if not lowest <= value < math.inf:
                raise MarketError(
                    f"Franke-Westerhoff crowd: {name} is {value}, expected >= {lowest}"
                )
        self.parameters = parameters
        self.n_agents = n_agents
        self.value_ticks = value_ticks
        self.lots = lots
        self.dispersion = dispersion
        self.systematic = systematic
        self.fundamentalist = np.zeros(n_agents, np.bool_)
        self._asset = asset
        self._rng, [self._own] = rng, rng.spawn(1)
        self._odds = 0.5
        self._demand = np.empty(0)

    @property
    def impact_per_lot(self) -> float:
        """Log price per lot of net demand that makes "impact" clearing the paper's equation."""
        return self.parameters.mu / (self.n_agents * self.lots)

    def observe(self, view: MarketView) -> None:
        """Choose a camp, find the day's demand and the odds of tomorrow's choice."""
        self._view = view
        if view.turn > 0:
            self._demand = np.empty(0)
            return
        p = self.parameters
        closes = view.assets[self._asset].close_ticks
        price = math.log(closes[-1] / self.value_ticks)
        log_return = math.log(closes[-1] / closes[-2]) if len(closes) > 1 else 0.0
        if math.isinf(p.nu):
            noise_f, noise_c = self._rng.standard_normal(2)
        else:
            noise_f, noise_c = self._rng.standard_t(p.nu, 2) * math.sqrt((p.nu - 2.0) / p.nu)
        self.fundamentalist = self._draw_camps()
        share = float(self.fundamentalist.mean())
        demand_f = -p.phi * price + p.sigma_f * noise_f
        demand_c = p.chi * log_return + p.sigma_c * noise_c
        self._demand = np.where(self.fundamentalist, demand_f, demand_c)
        if self.dispersion > 0:
            self._demand += self.dispersion * self._own.standard_normal(self.n_agents)
        attraction = p.alpha_0 + p.alpha_n * (2.0 * share - 1.0) + p.alpha_p * price**2
        self._odds = 1.0 / (1.0 + math.exp(max(-p.beta * attraction, -700.0)))

    def orders(self) -> Orders:
        """Turn demand into market orders, or into limit orders at reservation prices."""
        asset = self._view.assets[self._asset]
        lots = np.rint(self.lots * self._demand).astype(np.int64)
        agent = np.flatnonzero(lots)
        price = asset.close_ticks[-1] * np.exp(self.parameters.mu * self._demand[agent])
        band = asset.lower_limit_ticks, asset.upper_limit_ticks
        at_market = self._view.clearing == "impact"
        return Orders(
            agent,
            np.sign(lots[agent]),
            np.clip(np.rint(price), *band).astype(np.int64),
            np.abs(lots[agent]),
            np.full(len(agent), self._asset),
            np.full(len(agent), Kind.MARKET if at_market else Kind.LIMIT),
        )

    def decisions(self) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
        """Return the agents, their camps (1 for a fundamentalist) and demands of the turn."""
        agent = np.arange(len(self._demand))
        return {
            "agent": agent,
            "fundamentalist": self.fundamentalist[agent].astype(np.int64),
            "demand": self._demand.copy(),
        }

    def _draw_camps(self) -> NDArray[np.bool_]:
        if not self.systematic:
            return self._own.random(self.n_agents) < self._odds
        rank = np.arange(self.n_agents) / self.n_agents
        return np.asarray((rank + self._own.random()) % 1.0 < self._odds)
