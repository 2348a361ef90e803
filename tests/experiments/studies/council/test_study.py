"""The operator's game: what is certain, what a change of cast leaves, who is refused."""

from dataclasses import replace

import numpy as np
import pytest

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.experiments.config.scenario import Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.studies.council import study as council
from evobourse.experiments.studies.council.game import (
    RUN,
    Plan,
    list_channels,
    play_cast,
    play_game,
    trades,
)
from evobourse.experiments.studies.council.study import list_casts, survival
from evobourse.experiments.studies.run import run_study

SMALL = Plan(seeds=2, agents=40, days=18, day=6, lots=30)


def test_an_operator_who_does_nothing_earns_nothing_and_a_fall_pays_one_who_sold(opened):
    bundle, choices = opened.bundle, opened.table()
    size = Size(40, 18, 3)
    closes, profit = play_game(bundle, choices, [], size, 30)
    assert profit == 0
    assert len(closes) == 19
    override = list_channels(bundle, SMALL)["settlement override, 5 % down for a day"]
    _, alone = play_game(bundle, choices, trades(SMALL), size, 30)
    _, fallen = play_game(bundle, choices, [*trades(SMALL), *override], size, 30)
    assert fallen > alone


def test_a_channel_changes_nothing_before_its_day_and_an_override_does_what_it_says(opened):
    bundle, choices = opened.bundle, opened.table()
    games = play_cast(bundle, choices, SMALL)
    assert list(games) == list(list_channels(bundle, SMALL))
    own = trades(SMALL)
    for name, events in list_channels(bundle, SMALL).items():
        run_day = SMALL.day if name == RUN else -1
        sizes = Size(40, 18, 1), 30
        without, _ = play_game(bundle, choices, own, *sizes)
        closes, _ = play_game(bundle, choices, [*own, *events], *sizes, run_day)
        np.testing.assert_array_equal(closes[: SMALL.day + 1], without[: SMALL.day + 1])
        np.testing.assert_allclose(games[name].price[0], 100 * (closes - without)[SMALL.day + 1 :])
    override = games["settlement override, 5 % down for a day"]
    assert (override.price[:, 0] < -3).all()


def test_casts_are_other_minds_in_one_society(opened):
    casts = list_casts(opened)
    tables = {}
    for name, (population, minds) in casts.items():
        assert population.society == opened.bundle.population.society
        [tables[name]] = tabulate_choices([population], minds)
    np.testing.assert_array_equal(tables["shipped"], tables["rule-based"])  # here teachers answer
    np.testing.assert_allclose(tables["dice"][..., 0], 0.2)
    np.testing.assert_allclose(tables["bare base"][..., 0], 0.2)  # no coefficients, no votes
    assert (tables["other mixtures"] != tables["shipped"]).any()


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ((-1.0, -2.0, -3.0), "survives, down"),
        ((-1.0, -2.0, 0.0), "down with 0, 1"),
        ((-1.0, 2.0, 0.0), "up with 1; down with 0"),
        ((0.0, 0.0, 0.0), "absent"),
    ],
)
def test_what_survives_is_told_from_nil_in_every_cast_on_one_side(means, said):
    noise = np.array([-0.1, 0.0, 0.1])
    values = {str(n): mean + noise for n, mean in enumerate(means)}
    assert survival(values) == said


def test_the_study_tells_every_cast_of_every_channel(opened, tmp_path, monkeypatch, told):
    monkeypatch.setattr(council, "open_population", lambda place: opened)
    small = ["seeds=2", "agents=30", "days=18", "day=6", "lots=20", "casts=[shipped, dice]"]
    page, *_ = run_study("council", small, tmp_path / "c.md")
    text = page.read_text()
    channels = list_channels(opened.bundle, replace(SMALL, agents=30))
    assert text.count("| shipped |") == text.count("| dice |") == len(channels)
    assert len(told()) == 2 * len(channels)
    with pytest.raises(ConfigError, match="'shiped' is unknown"):
        run_study("council", ["casts=shiped", "days=18", "day=6"], tmp_path / "c.md")
    with pytest.raises(ConfigError, match="choose others"):
        run_study("council", ["days=12", "day=6"], tmp_path / "c.md")
