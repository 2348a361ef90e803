"""What can be wrong with a model, an adapter or a recipe that a user hands in."""


class MergeError(Exception):
    """Root of this package's errors; the message is one line: what, where, what to do."""


class ModelError(MergeError):
    """A base or source model cannot be fetched, read or used."""


class AdapterError(MergeError):
    """A PEFT adapter folder does not fit the base model."""


class RecipeError(MergeError):
    """A merge recipe is malformed or names sources that do not match."""
