"""Who moved the market: axioms that values obey, on teachers in place of the model."""

import base64
import io
import json
import re
from dataclasses import replace
from math import log

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evobourse.agents.minds.stand_ins import RandomMinds, TeacherMinds
from evobourse.agents.minds.stored_answers import gather_answers
from evobourse.agents.personas.mechanisms import OFF
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.stand_ins import ServedTeachers, TeacherBases
from evobourse.evolve.bundle import Bundle, Reference, write_bundle
from evobourse.evolve.errors import RunError
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.experiments.cli.main import app
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.attribution import attribution_section, tell_attribution
from evobourse.experiments.simulate.attribution import attribute, list_members
from evobourse.experiments.simulate.report import render_bundle
from evobourse.experiments.sweep.judging import Judge, play_row
from evobourse.experiments.sweep.setup import build_experiment

GROUPS = 3
SMALL = [
    "market.agents=60", "market.days=80", "market.paths=3", "workers=1", "minds.attention=1",
]  # fmt: skip


class Teaching:
    """Serves the teachers whatever the recipe, and counts how often."""

    def __init__(self, styles):
        self.styles, self.served = styles, []

    def serve(self, recipe):
        self.served.append(recipe)
        return TeacherMinds(self.styles)


@pytest.fixture(scope="module")
def config():
    return load_config("quickstart", SMALL)


@pytest.fixture(scope="module")
def experiment(config):
    return build_experiment(config)


@pytest.fixture(scope="module")
def genome(experiment):
    """The un-evolved values with two genes of the society moved, and one mixture."""
    market = experiment.market_genome
    values = market.genome().to_values(market.genome().start_vector())
    society = {**values["society"], "activity": 0.95, "share_sceptic": 0.2}
    minds = {**values["minds"], "follower_momentum_b0": 0.7}
    return {**values, "society": society, "minds": minds}


@pytest.fixture(scope="module")
def bundle(experiment, genome):
    market, world = experiment.market_genome, experiment.windows.world
    return Bundle(
        "small", "none", "none", 1, market.recipe(genome), experiment.adapters, experiment.sources,
        market.population(genome), world.offsets, world.rules, np.array([9_900, 10_000]),
        Reference(world.n_agents, world.days, 1, "f00d"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def bases(experiment):
    return Teaching(experiment.market_genome.styles)


@pytest.fixture(scope="module")
def found(config, bundle, bases, genome):
    return attribute(config, bundle, bases, genome, GROUPS)


def judged(experiment, population, minds):
    judge = Judge(experiment, experiment.splits.validation, GROUPS)
    row, paths = play_row(judge, "evolved", population, minds)
    return row, judge.score(paths)


def test_the_whole_and_nobody_are_rows_of_the_scoreboard(found, experiment, bundle, bases):
    ours, _ = judged(experiment, bundle.population, bases.serve(None))
    dice, _ = judged(experiment, bundle.population, RandomMinds())
    assert found.score == pytest.approx(ours["score"])
    assert found.dice == pytest.approx(dice["score"])
    assert (found.split, found.groups, found.paths) == ("validation", GROUPS, 9)
    assert found.markets == 9 * (2**8 + 8 + 2)


def test_what_minds_are_worth_adds_up_to_what_they_are_worth_together(
    found, experiment, bundle, bases
):
    _, ours = judged(experiment, bundle.population, bases.serve(None))
    _, dice = judged(experiment, bundle.population, RandomMinds())
    total = sum(p.mind.log_ratio[0] for p in found.personas)
    assert total == pytest.approx(np.log(dice.ratios / ours.ratios).mean())
    for m, name in enumerate(experiment.target(experiment.splits.validation).names):
        added = sum(p.mind.moments[name][0] for p in found.personas)
        assert added == pytest.approx((ours.per_path - dice.per_path)[:, m].mean(), abs=1e-9)


def test_a_mind_that_is_dice_is_worth_nothing(found):
    # the teachers say nothing for a persona without a style
    amateur = found.personas[-1]
    assert amateur.name == "amateur"
    np.testing.assert_allclose(amateur.mind.log_ratio, 0, atol=1e-12)
    np.testing.assert_allclose(list(amateur.mind.moments.values()), 0, atol=1e-12)
    assert abs(amateur.left_out.log_ratio[0]) > 1e-3  # and it takes the place of others


def test_left_out_is_the_population_without_it(found, experiment, bundle, bases):
    who = bundle.population
    # what is counted or drawn by a persona's number is off
    alone = replace(who.society, conformity=0.0, switching=0.0, mechanisms=OFF)
    others = replace(who, society=alone)
    rest = Population(others.personas[1:], others.society)
    gone = (replace(others.personas[0], share=1e-12), *others.personas[1:])
    one, two = (
        judged(experiment, people, bases.serve(None))[1]
        for people in (rest, replace(others, personas=gone))
    )
    np.testing.assert_allclose(two.ratios, one.ratios)
    assert found.personas[0].left_out.log_ratio[0] != 0


def test_genes_are_those_that_were_moved(found, experiment, genome, bundle, bases):
    assert [(g.name, g.value, g.start) for g in found.genes] == [
        ("share_sceptic", 0.2, 1.0), ("activity", 0.95, 0.8)
    ]  # fmt: skip
    back = {**genome, "society": {**genome["society"], "activity": 0.8}}
    _, ours = judged(experiment, bundle.population, bases.serve(None))
    _, theirs = judged(experiment, experiment.market_genome.population(back), bases.serve(None))
    gap = np.log(theirs.ratios / ours.ratios).mean()
    assert found.genes[1].worth.log_ratio[0] == pytest.approx(gap)


def test_mixtures_are_put_back_where_models_may_be_asked(config, bundle, bases, genome):
    found = attribute(config, bundle, bases, genome, 2, ask_models=True)
    assert [g.name for g in found.genes][2:] == ["mixture of follower"]
    assert found.genes[2].worth.log_ratio[0] != 0


def test_another_champions_genes_are_refused(config, bundle, bases, genome):
    other = {**genome, "society": {**genome["society"], "activity": 0.7}}
    with pytest.raises(RunError, match="not that of the lineage's champion; name the run"):
        attribute(config, bundle, bases, other, GROUPS)


def test_of_many_personas_orders_are_drawn_and_their_error_is_told(config, bundle, bases):
    first, *others = bundle.population.personas
    crowd = [replace(first, name=f"{first.name}-{n}") for n in range(4)]
    many = replace(bundle, population=replace(bundle.population, personas=(*crowd, *others)))
    small = replace(config, market=replace(config.market, agents=30, days=60, paths=2))
    found = attribute(small, many, bases, None, 2)
    assert (found.pairs, len(found.personas), found.genes) == (16, 11, ())
    assert found.markets <= 4 * (2 + 2 * 16 * 10 + 11)
    assert all(p.mind.error > 0 for p in found.personas if p.name != "amateur")
    total = sum(p.mind.log_ratio[0] for p in found.personas)
    assert total == pytest.approx(log(found.dice) - log(found.score), abs=0.5)
    assert any(
        "Drawing orders adds a standard error" in s for s in tell_attribution(found.as_json())
    )


def test_held_out_days_play_no_part(config, bundle, bases, sp500, tmp_path):
    heldout = sp500.dates.astype(str) >= config.splits.heldout[0]
    assert 2000 < heldout.sum() < 2100
    two = replace(bundle.population, personas=bundle.population.personas[:2])
    reports = []
    for name, last in (("as_it_was", 1.0), ("changed", 9.0)):
        factor = np.where(heldout, last, 1.0)
        prices = {c: getattr(sp500, c) * factor for c in ("open", "high", "low", "close")}
        file = tmp_path / f"{name}.csv"
        pd.DataFrame({"date": sp500.dates, **prices, "volume": sp500.volume}).to_csv(file)
        own = replace(config, series=(str(file),))
        found = attribute(own, replace(bundle, population=two), bases, None, 2).as_json()
        reports.append({key: value for key, value in found.items() if key != "asset"})
    assert reports[0] == reports[1]


def test_the_chapter_shows_what_was_found(found):
    written = json.loads(json.dumps(found.as_json()))
    section = attribution_section(written)
    picture, people, genes = section.blocks
    best = max(found.personas, key=lambda p: p.mind.log_ratio[0])
    assert people.rows[0][0] == best.name
    assert people.rows[0][2].startswith(f"{best.mind.log_ratio[0]:+.2f} [")
    assert [row[0] for row in genes.rows] in (
        ["share_sceptic", "activity"], ["activity", "share_sceptic"]
    )  # fmt: skip
    added = picture.data.set_index(["persona", "moment"])["added"]
    assert added[best.name, "hill"] == pytest.approx(best.mind.moments["hill"][0], rel=1e-5)
    assert f"{found.markets:,} markets in all" in section.sentences[0]


def test_who_stands_out_is_named_and_chance_is_said(found):
    written = json.loads(json.dumps(found.as_json()))
    for persona, ends in zip(written["personas"], [(1, 2), (-2, -1)] + 6 * [(-1, 1)], strict=True):
        persona["mind"]["log_ratio"] = [sum(ends) / 2, *ends]
    written["personas"][7]["mind"]["log_ratio"] = [None, None, None]
    said = tell_attribution(written)[1]
    assert said.startswith(
        "Minds: the market is closer for trend-rider (+1.50); farther off for bargain-hunter "
        "(-1.50). 2 of 7 are told from 0; by chance about 0.4 would be. A mind's worth is"
    )
    for persona in written["personas"]:
        persona["mind"]["log_ratio"] = [0.0, -1.0, 1.0]
    assert tell_attribution(written)[1].startswith("Minds: none of 8 is told from 0. ")


def test_the_command_writes_beside_the_bundle_and_its_page_has_the_chapter(
    config, experiment, genome, bundle, tmp_path
):
    styles = experiment.market_genome.styles
    answers = gather_answers(bundle.population, ServedTeachers(styles))
    whole = replace(bundle, base_hash=TeacherBases(styles).base_hash, recipe=None, answers=answers)
    write_bundle(tmp_path / "bundle", whole, 30, [], "card")
    small = replace(config, market=replace(config.market, agents=30, days=60, paths=2))
    (tmp_path / "config.yaml").write_text(small.to_yaml())
    done = Candidate("g000-s00-f00", 0, (), genome, None, (1,), 4.0, {}, None)
    Lineage(tmp_path / "lineage.jsonl").append([done])
    told = CliRunner().invoke(
        app, ["attribution", str(tmp_path / "bundle"), "--groups", "2"], catch_exceptions=False
    )
    assert told.exit_code == 0
    assert "sceptic" in told.stdout
    assert "worth [95 %]" in told.stdout
    written = json.loads((tmp_path / "attribution.json").read_text())
    assert [gene["name"] for gene in written["genes"]] == ["share_sceptic", "activity"]
    page = render_bundle(tmp_path / "bundle")
    assert '<section id="movers">' in page
    [data] = re.findall(r'download="gene_worths.csv" href="data:text/csv;base64,([^"]+)"', page)
    table = pd.read_csv(io.BytesIO(base64.b64decode(data)))
    assert set(table["name"]) == {"share_sceptic", "activity"}
    # of another champion it says nothing
    written["of"] = "another"
    (tmp_path / "attribution.json").write_text(json.dumps(written))
    assert '<section id="movers">' not in render_bundle(tmp_path / "bundle")


def test_minds_of_a_large_cloud_are_taken_together_by_style():
    """Each mind is in one group, and what groups are worth adds up as it does of personas."""
    config = load_config("quickstart", [*SMALL, "personas=[]", "cloud.minds=70"])
    experiment = build_experiment(config)
    market, world = experiment.market_genome, experiment.windows.world
    start = market.genome().to_values(market.genome().start_vector())
    moved = {**start["minds"], "mean_value_b0": 0.5}
    values = {**start, "minds": moved, "society": {**start["society"], "activity": 0.95}}
    bundle = Bundle(
        "cloud", "none", "none", 1, market.recipe(values), experiment.adapters, experiment.sources,
        market.population(values), world.offsets, world.rules, np.array([9_900, 10_000]),
        Reference(world.n_agents, world.days, 1, "f00d"),
    )  # fmt: skip
    named = list_members(bundle.population, market.styles)
    rows = sorted(row for some in named.values() for row in some)
    assert rows == list(range(70))
    for name, some in named.items():
        mixtures = [bundle.population.personas[row].mixture[0] for row in some]
        leading = {market.styles[int(np.argmax(mixture))] for mixture in mixtures}
        assert leading == {name.partition(",")[0]}
    bases = Teaching(market.styles)
    found = attribute(config, bundle, bases, values, 2, ask_models=True)
    assert [persona.name for persona in found.personas] == list(named)
    assert sum(persona.share for persona in found.personas) == pytest.approx(1)
    assert [gene.name for gene in found.genes] == ["activity", "mixtures of all minds"]
    judge = Judge(experiment, experiment.splits.validation, 2)
    ours, dice = (
        judge.score(judge.play(bundle.population, minds))
        for minds in (bases.serve(None), RandomMinds())
    )
    total = sum(persona.mind.log_ratio[0] for persona in found.personas)
    assert total == pytest.approx(np.log(dice.ratios / ours.ratios).mean())
    said = tell_attribution(json.loads(json.dumps(found.as_json())))
    assert "The 70 minds are taken together by the style that leads each mixture." in said
