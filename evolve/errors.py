"""The exceptions of the evolve package, and how an address is shown in them."""

import re


class EvolveError(Exception):
    """Input that evolution refuses; one line says what, where and what to do."""


class GenomeError(EvolveError):
    """A genome, or gene values for it, that cannot be used as they are."""


class RunError(EvolveError):
    """A run folder that cannot be read, written or resumed."""


def hide_password(address: str) -> str:
    """Return the address of a database or a server as it may be shown."""
    return re.sub(r"(?<=//)([^/@:]*):[^@]*@", r"\1:***@", address)
