"""A base of a 7B's size on this machine."""
