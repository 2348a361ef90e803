"""SQL over a run and a tape: what the tables hold is what the files hold."""

import json
import math

import numpy as np
import pytest

from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.query import open_tables, run_query
from evobourse.market.accounts import Accounts
from evobourse.market.tape.daily_tape import Tape
from evobourse.market.tape.schema import SCHEMAS


@pytest.fixture
def run(tmp_path):
    """Write three candidates, one of which failed, and a scoreboard."""
    first = Candidate(
        "g000-s00-f00", 0, (),
        {"society": {"activity": 0.5, "attention": 3}, "recipe": {"m": "ties"}}, None,
        (1, 2), 2.5, {"j": 4.0, "hill": math.nan}, None,
    )  # fmt: skip
    second = Candidate(
        "g001-s00-f00", 1, ((first.id, 1.0),), {"society": {"activity": 0.7, "attention": 2}},
        {"method": "linear"}, (1, 2), 1.5, {"j": 2.0}, None,
    )  # fmt: skip
    third = Candidate("g001-s00-f01", 1, ((first.id, 1.0),), {}, None, (1,), None, {}, "no trades")
    Lineage(RunFolder(tmp_path).lineage).append([first, second, third])
    rows = [{"name": "evolved", "score": 1.5}, {"name": "gbm", "score": None}]
    RunFolder(tmp_path).scoreboard.write_text(json.dumps(rows))
    return tmp_path


def ask(folder, sql):
    return run_query(open_tables(folder)[0], sql).to_pylist()


def test_a_lineage_joins_with_its_genes_parents_and_parts(run):
    assert ask(run, "select id, score, failure, seeds, recipe from candidates order by id") == [
        {"id": "g000-s00-f00", "score": 2.5, "failure": None, "seeds": [1, 2], "recipe": None},
        {
            "id": "g001-s00-f00", "score": 1.5, "failure": None, "seeds": [1, 2],
            "recipe": '{"method": "linear"}',
        },
        {"id": "g001-s00-f01", "score": None, "failure": "no trades", "seeds": [1], "recipe": None},
    ]  # fmt: skip
    better = """
        select c.id, p.parent, g.number from candidates c join parents p using (id)
        join genes g using (id) where g.gene = 'activity'
    """
    assert ask(run, better) == [{"id": "g001-s00-f00", "parent": "g000-s00-f00", "number": 0.7}]
    assert ask(run, "select value, number from genes where gene = 'm'") == [
        {"value": "ties", "number": None}
    ]
    assert ask(run, "select sum(value) as j from parts where part = 'j'") == [{"j": 6.0}]
    assert ask(run, "select name from scoreboard where score is null") == [{"name": "gbm"}]
    assert ask(run, "select * from timings") == []


def test_a_tapes_tables_are_those_on_disk_and_can_be_copied_out(tmp_path):
    close = np.array([101, 103, 99])
    volume, nobody = np.array([5, 0, 7]), np.zeros(0, np.int64)
    Tape(100, np.arange(3), *[close] * 5, volume, Accounts(nobody, nobody)).write(tmp_path)
    connection, views = open_tables(tmp_path)
    assert set(views) == {"prices", "accounts"}
    assert views["prices"] == SCHEMAS["prices"].metadata[b"description"].decode()
    found = run_query(connection, "select day from prices where volume = 0").to_pylist()
    assert found == [{"day": 1}]
    copied = tmp_path / "copied.csv"
    run_query(connection, f"copy (select close_ticks from prices) to '{copied}'")
    assert copied.read_text().split() == ["close_ticks", "101", "103", "99"]


def test_what_is_wrong_is_said_in_duckdbs_words(run, tmp_path):
    with pytest.raises(ConfigError, match=r'query: Binder Error.*"nme" not found'):
        ask(run, "select nme from candidates")
    with pytest.raises(ConfigError, match="query: Parser Error"):
        ask(run, "selct 1")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="empty: no run, simulation or bundle"):
        open_tables(empty)
