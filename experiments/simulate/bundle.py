"""Simulating a population: open it, let it trade, write the tape and a picture.

The population is a bundle's, or the one that a config's sweep would begin with. What a bundle with
answers does not need (models, configs, exchanges, figures) is imported where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bundle import Bundle, Reference, load_bundle
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.errors import ConfigError
from evobourse.market.tape.daily_tape import Tape

if TYPE_CHECKING:
    from evobourse.agents.encodings.encoded_minds import EncodedMinds
    from evobourse.experiments.config.cast import Cast
    from evobourse.market.tape.recorded import RecordedTape


@dataclass(frozen=True)
class OpenPopulation:
    """A population with its models open.

    Attributes
    ----------
    bundle
        The population and its world.
    minds
        Who answers for it.
    encoding
        What its views become.
    """

    bundle: Bundle
    minds: Any
    encoding: Encoding

    def simulate(
        self,
        agents: int = 400,
        days: int = 250,
        seed: int = 1,
        on_day: Callable[[int], None] | None = None,
    ) -> Tape:
        """Let the population trade in the fast market.

        Parameters
        ----------
        agents, days, seed
            Of the market; the seed is of every draw.
        on_day
            Called with each day simulated.

        Returns
        -------
        market.tape.daily_tape.Tape
            Prices, orders, decisions and accounts.
        """
        world = World(self.bundle.offsets, self.bundle.rules, agents, days)
        part = (self.bundle.population, self.bundle.history, seed)
        return play_market(world, part, self.choices(), "full", on_day)

    def choices(self) -> NDArray[np.float64] | EncodedMinds:
        """Ask for all that can be met; of numbers, return minds to be asked as a market goes."""
        if self.encoding.numeric:
            from evobourse.agents.encodings.encoded_minds import EncodedMinds

            return EncodedMinds(self.minds, self.encoding, self.bundle.adapters)
        return self.table()

    def table(self) -> NDArray[np.float64]:
        """Ask for all that can be met, see `agents.minds.choices.tabulate_choices`.

        Raises
        ------
        ConfigError
            The minds read numbers, which no table can hold.
        """
        if self.encoding.numeric:
            raise ConfigError(
                f"minds.encoding: is {self.encoding.name!r}, and this needs a table of all that "
                "minds choose; set minds.encoding: words"
            )
        [choices] = tabulate_choices([self.bundle.population], self.minds)
        return choices


def open_population(place: str | Path, overrides: Sequence[str] = ()) -> OpenPopulation:
    """Open a bundle's folder, or a config: the population that its sweep begins with.

    `experiments.simulate.hand_set.HAND_SET` stands for the quickstart's personas in the society
    that was set by hand.

    A config's market starts where its held-out years do. Views of `minds.encoding` digits and
    patches hold numbers, so that those minds are asked as the market goes.

    Raises
    ------
    ConfigError
        Overrides for a bundle, or an encoding of numbers where it cannot be used.
    """
    from evobourse.experiments.simulate.hand_set import HAND_SET, set_by_hand

    encoding = Encoding()
    if place == HAND_SET:
        from evobourse.experiments.config.experiment import find_config, load_config
        from evobourse.experiments.sweep.setup import build_experiment

        config = find_config("quickstart")
        bundle, bases, encoding = begin(config, overrides)
        population = set_by_hand(build_experiment(load_config(config, overrides)))
        bundle = replace(bundle, name=HAND_SET, population=population)
    elif not Path(place).is_dir():
        from evobourse.experiments.config.experiment import find_config

        config = find_config(place)
        bundle, bases, encoding = begin(config, overrides)
    elif overrides:
        raise ConfigError(f"--set {overrides[0]!r}: {place} is a bundle, which has no settings")
    else:
        bundle, bases = open_bundle(Path(place))
    return OpenPopulation(bundle, bases.serve(bundle.recipe), encoding)


def begin(file: Path, overrides: Sequence[str] = ()) -> tuple[Bundle, Bases, Encoding]:
    """Make a bundle, in memory alone, of what a config's sweep would begin with.

    Raises
    ------
    ConfigError
        An encoding of numbers where it cannot be used.
    """
    from evobourse.agents.minds.endpoint import is_endpoint
    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.sweep.setup import build_experiment

    config = load_config(file, overrides)
    minds = config.minds
    encoding = Encoding(minds.encoding)
    if encoding.numeric and (config.other_bases or minds.memory_bytes or is_endpoint(minds.base)):
        raise ConfigError(
            f"{file}: minds.encoding {encoding.name!r} needs all personas on one model here; leave "
            "out their own bases, servers and minds.memory_bytes, or set minds.encoding: words"
        )
    experiment = build_experiment(replace(config, minds=replace(minds, encoding="words")))
    genome, world = experiment.market_genome, experiment.windows.world
    values = genome.genome().to_values(genome.genome().start_vector())
    bases = experiment.open_bases()
    bundle = Bundle(
        config.name,
        minds.base,
        bases.base_hash,
        minds.blocks,
        genome.recipe(values),
        experiment.adapters,
        experiment.sources,
        genome.population(values),
        world.offsets,
        world.rules,
        history_ticks(experiment.series.close[: experiment.splits.heldout.start]),
        Reference(0, 0, 0, ""),
    )
    return bundle, bases, encoding


def open_bundle(folder: Path) -> tuple[Bundle, Bases]:
    """Load a bundle, and its models unless it carries its minds' answers.

    Raises
    ------
    RunError
        The bundle is malformed, or its base is not the one that it was exported with.
    """
    bundle = load_bundle(folder)
    return bundle, bundle.own_bases()


def simulate_bundle(
    folder: Path,
    size: Size,
    out: Path,
    on_day: Callable[[int], None] | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Simulate a bundle's population, or the one that a config's sweep would begin with.

    Parameters
    ----------
    folder
        The bundle's, or the config's file.
    size
        Of the market.
    out
        Folder for the tape's Parquet tables and ``prices.png``.
    on_day
        Called with each day simulated.
    overrides
        Of the config, see `experiments.config.experiment.load_config`.

    Returns
    -------
    dict
        First and last close, daily volatility, decisions, forward passes, the tape's digest,
        and ``reference``: whether the tape equals the one made at export, None if the
        settings differ from that one's.
    """
    from evobourse.experiments.reports.prices import draw_prices  # matplotlib

    opened = open_population(folder, overrides)
    bundle, tape = opened.bundle, opened.simulate(size.agents, size.days, size.seed, on_day)
    out.mkdir(parents=True, exist_ok=True)
    tape.write(out)
    closes = np.concatenate([bundle.history[-1:], tape.close_ticks])
    draw_prices(closes, tape.volume, bundle, out)
    made = bundle.reference
    same = Size(made.agents, made.days, made.seed) == size
    return {
        "first_close": int(tape.initial_close_ticks) / 100,
        "last_close": int(tape.close_ticks[-1]) / 100,
        "volatility": float(np.std(tape.log_returns())),
        "decisions": size.agents * size.days,
        "forward_passes": opened.minds.counters.computed,
        "digest": tape.digest(),
        "reference": tape.digest() == made.digest if same else None,
        "out": str(out),
    }


def simulate_scenario(
    folder: Path,
    scenario: Scenario,
    size: Size,
    out: Path,
    on_day: Callable[[int], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Put a bundle's population into a scenario.

    Parameters
    ----------
    folder, size, on_day, overrides
        As for `simulate_bundle`.
    scenario
        See `experiments.simulate.exchange`.
    out
        Folder for the recorded tape and ``prices.png``.
    on_stage
        Called with each stage of a deliberate turn.

    Returns
    -------
    dict
        First and last close, daily volatility, decisions, forward passes, trades, volume, events
        applied, ``reactions`` (`experiments.simulate.news_reactions.reactions`), whether they are
        against the same market without loud news (played where that takes no model), and the tape's
        digest; of a deliberate market ``tokens`` as well: of prompts, computed of them, generated.
    """
    from evobourse.experiments.simulate.exchange import build_scenario, record_run
    from evobourse.experiments.simulate.news_reactions import play_without_news

    opened = open_population(folder, overrides)
    bundle, minds, asked = opened.bundle, opened.minds, size.agents * size.days
    if scenario.deliberation is None:
        choices = opened.choices()
        market = build_scenario(scenario, bundle, choices, size, minds=minds)
        tape, quiet = record_run(market, size.days, out, on_day), None
        if isinstance(choices, np.ndarray) and not scenario.named_numbers:
            quiet = play_without_news(scenario, bundle, choices, size, market, minds)
        return _summary(tape, bundle, asked, minds.counters.computed, out, quiet)
    if opened.encoding.numeric:
        raise ConfigError(
            f"minds.encoding: is {opened.encoding.name!r}, and deliberation is in words; set "
            "minds.encoding: words"
        )
    from evobourse.experiments.simulate.thinkers import open_thinker

    thinker = open_thinker(scenario.deliberation, bundle, minds, on_stage)
    market = build_scenario(scenario, bundle, thinker, size, minds=minds)
    tape = record_run(market, size.days, out, on_day)
    asked *= len(scenario.turns)
    found = _summary(tape, bundle, asked, minds.counters.computed, out)
    return found | {"tokens": thinker.tokens()}


def simulate_cast(
    folder: Path,
    scenario: Scenario,
    cast: Cast,
    days: int,
    seed: int,
    out: Path,
    on_day: Callable[[int], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Put a cast into a scenario, with a bundle's styles, society and history.

    Parameters
    ----------
    folder, scenario, out, on_day, on_stage
        As for `simulate_scenario`.
    cast
        See `experiments.config.cast`; it says how many agents there are.
    days, seed
        Of the market.

    Returns
    -------
    dict
        As of `simulate_scenario`, prices and volume of the first asset.
    """
    from evobourse.experiments.simulate.cast import asset_history, build_cast, open_cast_bases
    from evobourse.experiments.simulate.exchange import record_run

    bundle = load_bundle(folder)
    minds = open_cast_bases(bundle, cast).serve(bundle.recipe)
    market = build_cast(scenario, cast, bundle, minds, days, seed, on_stage)
    tape = record_run(market.exchange, days, out, on_day)
    turns = len(scenario.turns) if scenario.deliberation else 1
    asked = sum(m.count * (turns if m.kind == "investor" else 1) for m in cast.members) * days
    asked -= sum(member.count for member in cast.members if member.kind == "rule") * days
    bundle = replace(bundle, history=asset_history(cast.assets[0], bundle))
    found = _summary(tape, bundle, asked, minds.counters.computed, out)
    return found if market.thinker is None else found | {"tokens": market.thinker.tokens()}


def _summary(
    tape: RecordedTape,
    bundle: Bundle,
    decisions: int,
    passes: int,
    out: Path,
    quiet_ticks: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Draw the first asset's prices, and say what came of a recorded market.

    Of the same market without its loud news the closes are int64[T], where it was played.
    """
    from evobourse.experiments.reports.prices import draw_prices  # matplotlib
    from evobourse.experiments.simulate.news_reactions import reactions

    prices, events = tape.frame("prices").query("asset == 0"), tape.frame("events")
    closes = np.concatenate([bundle.history[-1:], prices["close_ticks"]])
    draw_prices(closes, prices["volume"].to_numpy(), bundle, out, events)
    return {
        "first_close": int(closes[0]) / 100,
        "last_close": int(closes[-1]) / 100,
        "volatility": float(np.std(np.diff(np.log(closes)))),
        "decisions": decisions,
        "forward_passes": passes,
        "trades": int(prices["trades"].sum()),
        "volume": int(prices["volume"].sum()),
        "events": len(events),
        "reactions": reactions(
            events, bundle.history, prices["close_ticks"].to_numpy(), quiet_ticks
        ),
        "played_without_news": quiet_ticks is not None,
        "digest": tape.manifest.digest,
        "out": str(out),
    }
