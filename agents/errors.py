"""What can be wrong with a persona, a population or a training request."""


class AgentError(Exception):
    """Root of this package's errors; the message is one line: what, where, what to do."""


class EndpointError(AgentError):
    """A server refuses, fails for good, or answers something that is no answer."""


class CapReached(EndpointError):
    """The next request might pass the spending cap."""
