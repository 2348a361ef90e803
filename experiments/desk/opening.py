"""Opening a desk: a population with its models, its session on disk, and the real path beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.bundle import Bundle, load_bundle
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import find_config, load_config
from evobourse.experiments.desk.log import SessionLog
from evobourse.experiments.desk.session import Cast
from evobourse.experiments.desk.settings import desk_cast, desk_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.market.errors import MarketError
from evobourse.market.series.named import load_series


def open_cast(
    place: str | Path,
    log: SessionLog,
    on_stage: Callable[[str], None],
    overrides: Sequence[str] = (),
) -> Cast:
    """Open who plays a session: its cast, a bundle's population, or that a config begins with.

    Parameters
    ----------
    place
        The bundle's folder, or the config's file.
    log
        The session's.
    on_stage
        Called with each stage of a turn in which agents think.
    overrides
        Of the config.

    Raises
    ------
    ConfigError
        Numbers are shown to minds that are to think in words.
    evolve.errors.RunError
        The bundle is malformed, or its base another one.
    """
    from evobourse.experiments.simulate.bundle import open_population
    from evobourse.experiments.simulate.cast import open_cast_bases
    from evobourse.experiments.simulate.thinkers import open_thinker

    scenario = desk_scenario(log.settings["scenario"])
    if log.settings.get("cast") is not None:
        if not Path(place).is_dir():
            raise ConfigError(f"{place}: a cast trades in a bundle's market; name a bundle")
        members, bundle = desk_cast(log.settings["cast"], scenario), load_bundle(Path(place))
        minds = open_cast_bases(bundle, members).serve(bundle.recipe)
        return Cast(bundle, np.empty((0, 0, 5)), minds, members)
    deliberation = scenario.deliberation
    opened = open_population(place, overrides)
    if deliberation is None:
        return Cast(opened.bundle, opened.choices(), opened.minds)
    if opened.encoding.numeric:
        raise ConfigError(
            f"minds.encoding: is {opened.encoding.name!r}, and deliberation is in words; set "
            "minds.encoding: words"
        )
    thinker = open_thinker(deliberation, opened.bundle, opened.minds, on_stage)
    return Cast(opened.bundle, thinker)


def real_path(
    place: str | Path, bundle: Bundle, overrides: Sequence[str] = ()
) -> NDArray[np.int64] | None:
    """Return what came after a bundle's history in reality: closes in ticks, int64[R].

    Of a bundle, the config of the run that it lies in says of which series its history is the
    beginning; None where there is none, or it is not.
    """
    config = find_config(place)
    if not config.is_file():
        config = RunFolder(Path(place).resolve().parent).config
    if not config.is_file():
        return None
    try:
        settings = load_config(config, overrides)
        first = settings.series[0]  # a bundle's history is of the first
        series = load_series(first, close_only=True, stock_splits=settings.stock_splits)
    except (ConfigError, MarketError, OSError):
        return None  # a bundle that was moved; its market plays without
    known = len(bundle.history)
    scaled = series.close / series.close[known - 1] * bundle.history[-1]
    ticks: NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    alike = len(ticks) > known and np.abs(ticks[:known] - bundle.history).max() <= 1
    return ticks[known:] if alike else None
