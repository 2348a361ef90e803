"""The one exception of the fitness package.

Knows that a scoring request was wrong: a shape, a split that is too short, a second held-out look.
Deliberately does not cover a degenerate simulated path: that is a score (infinity), not an error.
"""


class FitnessError(Exception):
    """A scoring request that cannot be answered; the message says what to change."""
