"""The exceptions of the market package."""


class MarketError(Exception):
    """Input that the market refuses; one line says what, where and what to do."""


class SeriesError(MarketError):
    """A real price series, or a split of it, that cannot be used as it is."""
