"""The exceptions of the market package.

Knows: that input was bad, and that it was a series' fault or a market's.
Does not know: how a caller reports or recovers from it; no message here is ever logged.
"""


class MarketError(Exception):
    """Input that the market refuses; one line says what, where and what to do."""


class SeriesError(MarketError):
    """A real price series, or a split of it, that cannot be used as it is."""
