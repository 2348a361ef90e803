"""A market in words: each term in each of its forms, all together, and words that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.casts.sentence import read_sentence
from evobourse.agents.casts.terms import CLASSES, COMMODITIES, read_market
from evobourse.agents.casts.words import NUMBERS
from evobourse.agents.errors import AgentError


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        ("stocks, margin 10 %", {"kind": "equity", "initial_margin_bps": 1000}),
        ("margin of 10% and stocks", {"initial_margin_bps": 1000}),
        ("ten percent margin", {"initial_margin_bps": 1000, "kind": "future"}),
        ("maintenance margin 8 per cent", {"maintenance_margin_bps": 800}),
        (
            "initial margin 12 %, maintenance margin 9 %",
            {"initial_margin_bps": 1200, "maintenance_margin_bps": 900},
        ),
        ("price limit 5 %", {"price_limit": 0.05}),
        ("daily limit is 7.5 %", {"price_limit": 0.075}),
        ("a 5 % limit", {"price_limit": 0.05}),
        ("fee 2 bp", {"fee_bps": 2}),
        ("costs of 0.1 %", {"fee_bps": 10}),
        ("no fees", {"fee_bps": 0}),
        ("stamp duty 10 basis points", {"sell_tax_bps": 10}),
        ("no short sales", {"short_sales": "forbidden"}),
        ("without short selling", {"short_sales": "forbidden"}),
        ("short selling allowed", {"short_sales": "allowed"}),
        ("short sales by the uptick rule", {"short_sales": "uptick"}),
        ("T+1", {"sell_next_day": True}),
        ("lots of 6 tonnes", {"lot_units": 6}),
        ("futures contracts", {"kind": "future"}),
    ],
)
def test_a_term_is_read_in_its_usual_forms(words, terms):
    found = read_market(words)
    assert terms.items() <= found.terms.items()
    assert found.members == []


@pytest.mark.parametrize(
    ("words", "turns"),
    [
        ("one turn a day", ("call",)),
        ("5 turns a day", ("call", "continuous", "continuous", "continuous", "call")),
        ("two continuous turns each day", ("continuous",) * 2),
        ("3 call turns", ("call",) * 3),
    ],
)
def test_turns(words, turns):
    assert read_market(words).turns == turns


def test_six_classes_of_nickel_traders():
    found = read_market("six classes of nickel traders, margin 10 %, 5 turns a day")
    assert [member.phrase for member in found.members] == list(CLASSES)
    assert {member.values["count"] for member in found.members} == {10}
    assert (found.asset, found.series) == ("nickel", None)
    assert found.terms == {
        "kind": "future", "initial_margin_bps": 1000, "maintenance_margin_bps": 750
    }  # fmt: skip
    assert len(found.turns) == 5
    assert sum("(guessed" in reason for reason in found.reasons) == 3


def test_people_are_read_as_a_cast_reads_them():
    people = "forty cautious pensioners and ten momentum day-traders who see no news"
    found = read_market(f"{people}, price limit 5 %, 2 oil scalpers")
    alone = read_sentence(f"{people}, 2 scalpers")
    assert [one.values for one in found.members] == [one.values for one in alone]
    assert (found.asset, found.series) == ("oil", "wti")


@given(st.sampled_from(sorted(NUMBERS)), st.sampled_from(["margin", "price limit", "fee"]))
def test_numbers_in_words_are_those_in_digits(word, head):
    def terms(number):
        return read_market(f"{head} {number} %").terms

    assert terms(word) == terms(NUMBERS[word])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("margin 10 %, frobnicate", "not understood: 'frobnicate'"),
        ("ten glorphs, margin 10 %", "not understood: 'glorphs'"),
        ("ten purple traders", "not understood: 'purple'"),
        ("margin ten", "not understood: 'margin ten'"),
        ("seven classes of traders", "there are 6 classes, producers"),
        ("fee 2.5 bp", "'fee 2.5 bp': expected whole basis points"),
        ("200 turns a day", "'200 turns a day': expected 1 to 100"),
        ("oil and nickel traders", "oil and nickel are both named|nickel and oil are both named"),
        ("please", "nothing is said of a market"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(words, complaint):
    with pytest.raises(AgentError, match=complaint):
        read_market(words)


@pytest.mark.parametrize("name", COMMODITIES)
def test_commodities_are_futures_unless_somebody_says_otherwise(name):
    assert read_market(f"ten {name} traders").terms == {"kind": "future"}
    assert read_market(f"ten {name} traders, stocks").terms == {"kind": "equity"}
