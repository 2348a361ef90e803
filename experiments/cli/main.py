"""The command line: which commands there are, and which exit code a failure has."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import typer

from evobourse.experiments.cli import casts as cast_commands
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

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Evolve a population of language-model investors until the market that they make "
        "together moves like a real one.\n\n"
        "Example: evobourse evolve experiments/quickstart.yaml"
    ),
)

app.command()(sweep_commands.evolve)
app.command()(sweep_commands.resume)
app.command()(sweep_commands.tune)
app.command()(sweep_commands.lineage)
app.command()(sweep_commands.track)
app.command()(sweep_commands.compare)
app.command()(report_commands.report)
app.command()(query_commands.query)
app.command()(config_commands.config)
app.command()(cast_commands.cast)
app.command()(market_commands.simulate)
app.command()(desk_commands.desk)
app.command()(market_commands.export)
app.command()(merge_commands.merge)
app.command()(market_commands.behaviour)
app.command()(market_commands.robust)
app.command()(market_commands.response)
app.command()(score_commands.score)
app.command()(score_commands.baselines)
app.command()(plan_commands.plan)
app.command()(study_commands.study)
app.command()(study_commands.bench)
app.command("train-styles")(style_commands.train_styles)


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
