"""Sentences: numbers against an independent speller, words against the tables, nonsense refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.casts.sentence import read_number, read_sentence
from evobourse.agents.casts.words import FIELD_WORDS, OCCUPATIONS, STYLE_WORDS, TEMPERAMENTS
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.styles import STYLES

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spell(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1_000:
        return f"{ONES[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    return f"{spell(n // 1_000)} thousand" + (f" {spell(n % 1_000)}" if n % 1_000 else "")


def members(sentence):
    return [described.values for described in read_sentence(sentence)]


@given(st.integers(1, 99_999))
def test_numbers_are_read_as_they_are_spelt(n):
    assert read_number(spell(n).replace("-", " ").replace(" and ", " ").split()) == n
    assert members(f"{spell(n)} cautious savers")[0]["count"] == n
    assert members(f"{n:,} cautious savers")[0]["count"] == n


def test_the_example_of_the_readme():
    first, second = members("forty cautious pensioners, ten momentum day-traders who see no news")
    assert first == {
        "name": "cautious-pensioners",
        "count": 40,
        "style": "risk-averse",
        **OCCUPATIONS["pensioner"],
    }
    assert second["count"] == 10
    assert second["style"] == "momentum"
    assert second["never_sees"] == ["news"]
    assert second["horizon_days"] == OCCUPATIONS["day trader"]["horizon_days"]


@pytest.mark.parametrize(
    ("sentence", "count"),
    [
        ("a dozen savers", 12),
        ("two dozen savers", 24),
        ("a hundred savers", 100),
        ("a couple of savers", 2),
        ("a few savers", 3),
        ("savers", 10),
        ("one saver", 1),
        ("a saver", 1),
        ("a saver and two traders", 1),
    ],
)
def test_counts_that_are_no_plain_numbers(sentence, count):
    assert members(sentence)[0]["count"] == count


@pytest.mark.parametrize(
    ("clause", "key", "fields"),
    [
        ("who see no news", "never_sees", ["news"]),
        ("who never read news or watch the crowd", "never_sees", ["crowd", "news"]),
        ("without charts", "never_sees", ["trend", "range"]),
        ("who ignore volatility and others", "never_sees", ["volatility", "crowd"]),
        ("who only read the news", "only_sees", ["news"]),
        ("who see nothing but prices", "only_sees", ["trend", "value", "range"]),
        ("who see only trends and news", "only_sees", ["trend", "news"]),
    ],
)
def test_masks(clause, key, fields):
    [member] = members(f"five traders {clause}")
    assert member[key] == fields
    assert {"never_sees", "only_sees"} & member.keys() == {key}


def test_every_word_of_the_tables_is_understood():
    for word, style in STYLE_WORDS.items():
        [described] = read_sentence(f"three {word} investors")
        assert described.values["style"] == style in STYLES, word
        assert not described.left + described.lost
    for word, given_ in TEMPERAMENTS.items():
        [member] = members(f"three {word} investors")
        assert given_.items() <= member.items(), word
    for word, given_ in OCCUPATIONS.items():
        [member] = members(f"three {word[:-1]}ies" if word.endswith("y") else f"three {word}s")
        assert given_.items() <= member.items(), word
    assert {f for fields in FIELD_WORDS.values() for f in fields} == set(FIELD_NAMES)


def test_adjectives_go_before_occupations_and_styles_mix():
    impatient, mixed = members("ten impatient pensioners and six cautious momentum teachers")
    assert impatient["horizon_days"] == TEMPERAMENTS["impatient"]["horizon_days"]
    assert mixed["mixture"] == {"risk-averse": 0.5, "momentum": 0.5}
    assert "style" not in mixed


def test_what_is_left_over_is_handed_back():
    described, other = read_sentence("twelve jittery dentists who like gold, 4 momentun traders")
    assert described.left == ["jittery"]
    assert described.lost == ["gold"]
    assert described.values["name"] == "dentists"
    assert any("no occupation known" in reason for reason in described.reasons)
    assert other.values["style"] == "momentum"
    assert "momentun (as momentum): style momentum" in other.reasons
    [kept] = read_sentence("three cautious savers, qwertz asdf")
    assert kept.lost == ["qwertz asdf"]


def test_names_are_unique():
    names = [m["name"] for m in members("two savers, three savers, four savers")]
    assert names == ["savers", "savers-2", "savers-3"]


@pytest.mark.parametrize("nonsense", ["", "hello world", "colourless green ideas", "!!! ,,, ;"])
def test_nonsense_is_refused(nonsense):
    with pytest.raises(AgentError, match="nobody is named"):
        read_sentence(nonsense)


def test_counts_out_of_range_are_refused():
    with pytest.raises(AgentError, match="counts 0, expected 1 to 1,000,000"):
        read_sentence("zero traders")
    with pytest.raises(AgentError, match="counts 90000000"):
        read_sentence("90,000,000 traders")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("five producers", {"style": "risk-averse", "wealth": 20.0}),
        ("five momentum producers", {"style": "momentum"}),
        ("ten hedgers", {"style": "risk-averse"}),
        ("three institutions", {"wealth": 20.0, "horizon_days": 120.0}),
        ("ten institutional investors", {"wealth": 20.0}),
        ("ten speculators", {"horizon_days": 5.0}),
        ("ten aggressive speculators", {"orders": {"aggressiveness": 1.5, "size": 1.5,
                                                   "patience": 0.5}}),
        ("ten aggressive leveraged traders", {"orders": {"aggressiveness": 1.5, "size": 2.0,
                                                         "patience": 0.5}}),
        ("ten conservative investors", {"style": "risk-averse"}),
        ("two market makers", {"kind": "rule", "rule": "market-makers"}),
        ("two dealers", {"kind": "rule", "rule": "market-makers"}),
        ("fifty retail traders", {"wealth": 0.3, "temperature": 1.6}),
        ("one pension fund", {"wealth": 50.0}),
        ("five commodity trading advisors", {"style": "momentum"}),
    ],
)  # fmt: skip
def test_the_words_of_the_field_are_known(sentence, expected):
    [described] = read_sentence(sentence)
    assert described.values.items() >= expected.items()
    assert not described.left
    assert not described.lost
