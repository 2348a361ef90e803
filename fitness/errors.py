"""The one exception of the fitness package.

A degenerate simulated path is no error but a score: infinity.
"""


class FitnessError(Exception):
    """A scoring request that cannot be answered; the message says what to change."""
