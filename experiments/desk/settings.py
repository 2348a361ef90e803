"""What a session at the desk begins with: the first line of its log, and the scenario in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evobourse.experiments.config.cast import Cast, read_cast
from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.config.sections import read_section, read_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.happenings import dated_events
from evobourse.market.events.schedule import load_schedule, plain_event

CAST_FILE = "cast.yaml"
"""A session's cast, in its folder."""

PERSON_LOTS = 2_000
"""What the person begins with in a scenario that does not say: 20 times what an investor holds."""


def desk_scenario(settings: Mapping[str, Any]) -> Scenario:
    """Read a session's scenario, whose events and cast are the session's own.

    Raises
    ------
    ConfigError
        It is none.
    """
    return read_section(Scenario, settings, "the session's scenario")


def desk_cast(settings: Mapping[str, Any], scenario: Scenario) -> Cast:
    """Read a session's cast.

    Raises
    ------
    ConfigError
        It is none, or one that a desk cannot show: of several assets, with companies, or thinking.
    """
    cast = read_cast(settings, "the session's cast")
    if len(cast.assets) > 1:
        raise ConfigError(f"cast: has {len(cast.assets)} assets, and a desk shows one; leave one")
    if speaking := [m.name for m in cast.members if m.kind in ("company", "industry")]:
        raise ConfigError(f"cast: {speaking[0]!r} speaks for assets; a desk has traders alone")
    if scenario.deliberation is not None:
        raise ConfigError("cast and deliberation are both set; a desk takes one of them")
    return cast


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
        The scenario, its events or its cast cannot be read.
    """
    raw: dict[str, Any] = {}
    events: list[dict[str, Any]] = []
    if scenario is not None:
        given = load_scenario(scenario)
        raw = dict(read_yaml(scenario, "a scenario"))
        for key in ("events", "news"):  # they are the session's own
            raw.pop(key, None)
        if given.events is not None:
            events = [plain_event(event) for event in load_schedule(Path(given.events)).events]
        if given.news is not None:
            if given.news.tone == "minds":
                raise ConfigError(
                    "news.tone: is minds, and a desk asks nobody before it begins; set it to none "
                    "with deliberation, or write events with a tone"
                )
            events += [plain_event(event) for event in dated_events(given.news, size.days)]
    beside = dict(raw.get("beside") or {})
    beside.setdefault("person_lots", PERSON_LOTS)
    settings = {**raw, "beside": beside}
    checked, agents, cast = desk_scenario(settings), size.agents, None
    if file := settings.get("cast"):
        assert scenario is not None  # it says so
        cast = dict(read_yaml(scenario.parent / str(file), "a cast"))
        settings["cast"] = CAST_FILE
        members = desk_cast(cast, checked).members
        agents = sum(member.count for member in members if member.kind == "investor")
    return {
        "bundle": str(bundle),
        "agents": agents,
        "days": size.days,
        "seed": size.seed,
        "scenario": settings,
        "events": events,
        "cast": cast,
        "overrides": list(overrides),
    }
