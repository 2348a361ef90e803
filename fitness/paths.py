"""Paths of a market: daily log returns, and the volume of the days where it is known."""

from dataclasses import dataclass

from evobourse.fitness.moments import FloatArray


@dataclass(frozen=True, eq=False)
class Paths:
    """Daily paths of a market, simulated or real.

    Attributes
    ----------
    log_returns : float64 array, shape [N, T]
        Daily log returns.
    volume : float64 array, shape [N, T], or None
        Units traded on the same days; None where nobody counts, as in a law without agents.
    """

    log_returns: FloatArray
    volume: FloatArray | None = None

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self.log_returns)

    @property
    def prices_alone(self) -> "Paths":
        """The same without volume."""
        return Paths(self.log_returns)

    @property
    def ends_lower(self) -> float:
        """Share of paths that end below their start."""
        return float((self.log_returns.sum(axis=1) < 0).mean())
