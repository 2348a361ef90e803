"""Evolve language-model investors until the market that they make moves like a real one."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from evobourse import evolve as _package

if TYPE_CHECKING:
    from evobourse.experiments.api import OpenPopulation, Run, evolve, load, open_population, score

    __version__: str

__all__ = ["OpenPopulation", "Run", "__version__", "evolve", "load", "open_population", "score"]


class _CallablePackage(ModuleType):
    """Of `evobourse.evolve`, which is a package to import from and what one calls to evolve."""

    def __call__(self, *arguments: Any, **options: Any) -> Run:
        from evobourse.experiments import api

        return api.evolve(*arguments, **options)

    @property
    def __signature__(self) -> Any:
        import inspect

        from evobourse.experiments import api

        return inspect.signature(api.evolve)


_package.__class__ = _CallablePackage


def __getattr__(name: str) -> Any:
    """Load what the door offers when it is asked for: torch and the rest take seconds."""
    if name == "__version__":
        from importlib.metadata import version

        return version("evobourse")
    if name in __all__:
        from evobourse.experiments import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
