"""Any text as a file's name, any path as a database's address: tried on the disk and SQLAlchemy."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.evolve.addresses import file_name, inside, sqlite_address, sqlite_path
from evobourse.evolve.errors import RunError

NASTY = st.sampled_from(
    ["", ".", "..", "../../outside", "/etc/passwd", "a/b", "a\\b", "what?", "50%", "%2F", "x#y",
     "a b ", " a", ".hidden", "a\0b", "new\nline", "名前", "é", "-rf", "'", '"', "$(x)", "~", "a:b",
     "\ud800", "w" * 300, "長" * 300]
)  # fmt: skip
TEXTS = st.text(max_size=300) | NASTY


@given(TEXTS)
def test_any_text_names_one_file_in_its_folder(text):
    name = file_name(text)
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_text("here")
        assert [path.name for path in Path(folder).iterdir()] == [name]
        assert file.resolve().parent == Path(folder).resolve()
    assert not name.startswith((".", " "))
    assert not set(name) & set('/\\?#:*"<>|&;$`\n\0')


@given(TEXTS, TEXTS)
def test_different_texts_have_different_names(one, other):
    assert (file_name(one) == file_name(other)) == (one == other)


@pytest.mark.parametrize("text", ["trend-rider", "value investor", "投資家", "a.b_c", "cast (2)"])
def test_ordinary_names_stay_as_they_are(text):
    assert file_name(text) == text


PATHS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1,
            max_size=20).filter(lambda part: part not in (".", ".."))
    | st.sampled_from(["what?", "50%", "x#y", "a b", "%3F", "file:x", "a?b=c&d", "+", "名"]),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=60)
@given(PATHS)
def test_sqlalchemy_opens_the_file_that_an_address_is_made_of(parts):
    from sqlalchemy import create_engine, make_url, text

    with TemporaryDirectory() as root:
        file = Path(root, *parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        address = sqlite_address(file)
        assert sqlite_path(address) == file
        again = make_url(address).render_as_string()
        assert make_url(again).database == str(file)  # MLflow writes the address out once more
        engine = create_engine(address)
        with engine.begin() as connection:
            connection.execute(text("create table t (x)"))
        engine.dispose()
        with sqlite3.connect(file) as plain:
            assert plain.execute("select name from sqlite_master").fetchall() == [("t",)]
        plain.close()
        assert [path for path in Path(root).rglob("*") if path.is_file()] == [file]


def test_an_ordinary_address_is_the_plain_one():
    assert sqlite_address(Path("/runs/one two/mlflow.db")) == "sqlite:////runs/one two/mlflow.db"
    assert sqlite_path("postgresql://host/name") is None
    assert sqlite_path("sqlite:///trials.db?timeout=5") == Path("trials.db")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", "a\0"])
def test_a_name_read_from_a_file_stays_in_its_folder(name):
    with pytest.raises(RunError, match="which is no file within it"):
        inside(Path("bundle"), name)
    assert inside(Path("bundle"), "adapters/x") == Path("bundle/adapters/x")
