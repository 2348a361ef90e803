"""What a session at the desk begins with: the first line of its log, and the scenario in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.config.sections import read_section, read_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.market.events.schedule import load_schedule, plain_event

PERSON_LOTS = 2_000
"""What the person begins with in a scenario that does not say: 20 times what an investor holds."""


def desk_scenario(settings: Mapping[str, Any]) -> Scenario:
    """Read a session's scenario, whose events are the session's own.

    Raises
    ------
    ConfigError
        It is none, or names a cast.
    """
    scenario = read_section(Scenario, settings, "the session's scenario")
    if scenario.cast is not None:
        raise ConfigError("cast: a desk plays a bundle's personas; leave the cast out")
    return scenario


def begin_settings(
    bundle: Path, size: Size, scenario: Path | None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the first line of a session's log.

    Parameters
    ----------
    bundle
        The bundle's folder, or a config's file.
    size
        Of the market; its days are the most that can be played.
    scenario
        A scenario's file; one call auction a day if left out. A person is seated where it seats
        none.
    overrides
        Of the config.

    Raises
    ------
    ConfigError, MarketError
        The scenario or its events cannot be read.
    """
    raw: dict[str, Any] = {}
    events: list[dict[str, Any]] = []
    if scenario is not None:
        checked = load_scenario(scenario)
        raw = dict(read_yaml(scenario, "a scenario"))
        raw.pop("events", None)
        if checked.events is not None:
            events = [plain_event(event) for event in load_schedule(Path(checked.events)).events]
    beside = dict(raw.get("beside") or {})
    beside.setdefault("person_lots", PERSON_LOTS)
    settings = {**raw, "beside": beside}
    desk_scenario(settings)
    return {
        "bundle": str(bundle),
        "agents": size.agents,
        "days": size.days,
        "seed": size.seed,
        "scenario": settings,
        "events": events,
        "overrides": list(overrides),
    }
