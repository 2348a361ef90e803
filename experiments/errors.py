"""What can be wrong with a config, a run folder or a bundle that a user names."""


class ConfigError(Exception):
    """A config value is unknown, missing or out of range; one line: file, key, what to do."""
