"""The command `desk`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evobourse.experiments.cli.options import (
    Json,
    Set,
    make_console,
    news_console,
    print_next_steps,
    typed,
)


def desk(
    bundle: Annotated[
        Path, typer.Argument(help="A bundle's folder, such as RUN/bundle, or a config's file.")
    ],
    port: Annotated[
        int, typer.Option(help="On 127.0.0.1; 0 for any free one.", min=0, max=65_535)
    ] = 8717,
    agents: Annotated[
        int | None, typer.Option(help="Agents in the market; default 400.", min=10)
    ] = None,
    days: Annotated[int | None, typer.Option(help="Most days to play; default 250.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of every draw; default 1.", min=0)] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="YAML of an exchange: turns, other traders, events.")
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(help="The market in words instead, see evobourse scenario; kept in FOLDER."),
    ] = None,
    session: Annotated[
        Path | None, typer.Option(help="Folder of the session, begun or to be gone on with.")
    ] = None,
    overrides: Set = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Serve a page on which an exported population trades live, and a person takes part.

    Everything that is done there is in the session's folder, as a scenario file that
    `evobourse simulate` plays to the same bytes.

    Example: evobourse desk runs/quickstart/bundle

    Example: evobourse desk runs/quickstart/bundle --agents 1000 --days 500
    --scenario experiments/scenarios/friends.yaml

    Example: evobourse desk runs/quickstart/bundle
    --words "six classes of nickel traders, margin 10 %, 5 turns a day"

    Example: evobourse desk runs/quickstart/bundle --session runs/desk-1
    """
    from evobourse.agents.styles import FIRST_STYLES
    from evobourse.evolve.bundle import load_bundle
    from evobourse.experiments.config.experiment import find_config
    from evobourse.experiments.config.scenario import Size
    from evobourse.experiments.desk.log import LOG, SessionLog, new_folder
    from evobourse.experiments.desk.server import ADDRESS, listen, new_token
    from evobourse.experiments.desk.settings import begin_settings
    from evobourse.experiments.errors import ConfigError
    from evobourse.experiments.simulate.write_cast import save_market

    # cheap checks first: port, bundle, scenario, session; models after them
    console, news = make_console(), news_console(as_json)
    own = listen(port)
    styles: Sequence[str] = FIRST_STYLES
    if not find_config(bundle).is_file():
        styles = [folder.name for folder in load_bundle(bundle).adapters]
    if words is not None:
        if scenario is not None:
            raise ConfigError("--words and --scenario are both given; give one of them")
        session = session or new_folder()
        scenario = save_market(words, session / "market.yaml", styles)["scenario"]
    size = Size(agents or 400, days or 250, 1 if seed is None else seed)
    settings: dict[str, Any] = begin_settings(bundle, size, scenario, overrides)
    if session is not None and (session / LOG).exists():
        given = {"agents": agents, "days": days, "seed": seed}
        if scenario is None:
            given |= {"scenario": None, "events": None, "cast": None}
        if not overrides:
            given |= {"overrides": None}
        settings |= given
    log = SessionLog(session or new_folder(), settings)

    from evobourse.experiments.desk.opening import open_cast, real_path
    from evobourse.experiments.desk.player import Player
    from evobourse.experiments.desk.server import make_app, serve
    from evobourse.experiments.desk.session import Session

    news.print(f"loading {bundle}")
    players: list[Player] = []

    def show_stage(stage: str) -> None:
        for one in players:
            one.show_stage(stage)

    overrides = log.settings["overrides"]
    cast = open_cast(bundle, log, show_stage, overrides)
    with news.status("playing the session again") as status:
        opened = Session(
            cast, log, lambda name, day: status.update(f"playing {name} again: day {day}")
        )
    player = Player(opened, real_path(bundle, cast.bundle, overrides))
    players.append(player)
    token, port = new_token(), own.getsockname()[1]
    app = make_app(player, port, token)
    player.start()
    place = {"desk": f"http://{ADDRESS}:{port}/?token={token}", "session": str(log.folder)}
    if as_json:
        typer.echo(json.dumps(place))
    else:  # also where quiet was asked for: without its address a desk is of no use
        for name, where in place.items():
            console.print(f"{name:<7}  {where}", highlight=False, soft_wrap=True)
    news.print("Ctrl-C ends it; the session is kept")
    serve(app, own)
    player.stop()
    if as_json:
        return
    print_next_steps(
        console,
        [
            ("again", typed("evobourse", "desk", bundle, "--session", log.folder)),
            ("replay", opened.command(opened.branch, max(1, opened.branch.day))),
        ],
    )
