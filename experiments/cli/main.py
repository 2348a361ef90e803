"""The command line: which commands there are, and which exit code a failure has."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Annotated, Any

import typer

from evobourse.experiments.cli import casts as cast_commands
from evobourse.experiments.cli import checks as check_commands
from evobourse.experiments.cli import configs as config_commands
from evobourse.experiments.cli import desks as desk_commands
from evobourse.experiments.cli import merges as merge_commands
from evobourse.experiments.cli import plans as plan_commands
from evobourse.experiments.cli import populations as market_commands
from evobourse.experiments.cli import prices as score_commands
from evobourse.experiments.cli import queries as query_commands
from evobourse.experiments.cli import reports as report_commands
from evobourse.experiments.cli import studies as study_commands
from evobourse.experiments.cli import styles as style_commands
from evobourse.experiments.cli import sweeps as sweep_commands
from evobourse.experiments.cli.interrupt import acknowledge_interrupts
from evobourse.experiments.cli.options import with_quiet

COMMANDS: dict[str, tuple[Any, ...]] = {
    "Evolve": (
        config_commands.config,
        plan_commands.plan,
        sweep_commands.evolve,
        sweep_commands.resume,
        sweep_commands.tune,
        sweep_commands.lineage,
        report_commands.report,
        query_commands.query,
        sweep_commands.compare,
        sweep_commands.track,
    ),
    "Populations": (
        market_commands.simulate,
        desk_commands.desk,
        cast_commands.cast,
        cast_commands.scenario,
        market_commands.behaviour,
        market_commands.robust,
        report_commands.attribution,
        market_commands.response,
        market_commands.export,
    ),
    "Prices": (score_commands.score, score_commands.baselines, score_commands.to_daily),
    "Models": (check_commands.check, style_commands.train_styles, merge_commands.merge),
    "Research": (study_commands.study, study_commands.bench),
}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


for _group, _functions in COMMANDS.items():
    for _function in _functions:
        app.command(rich_help_panel=_group)(with_quiet(_function))


def _print_version(asked: bool) -> None:
    if asked:
        from evobourse import __version__

        typer.echo(f"evobourse {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print it.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Evolve a population of language-model investors until their market moves like a real one.

    Example: evobourse evolve experiments/quickstart.yaml
    """


def main() -> None:
    """Run the command line; bad input gives one line on stderr and exit code 2, a spent cap 1."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads must not spin
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from evobourse.agents.errors import AgentError, CapReached
    from evobourse.evolve.errors import EvolveError
    from evobourse.experiments.errors import ConfigError
    from evobourse.fitness.errors import FitnessError
    from evobourse.market.errors import MarketError
    from evobourse.merge.errors import MergeError

    try:
        with acknowledge_interrupts():
            app()
    except CapReached as error:
        _fail(str(error), 1)
    except (AgentError, ConfigError, EvolveError, FitnessError, MarketError, MergeError) as error:
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; make room or fix the path, then run it again")


def _fail(message: str, code: int = 2) -> None:
    print(f"evobourse: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
