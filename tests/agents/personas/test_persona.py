import numpy as np
import pytest

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas.persona import Persona, Population, Society

MASK = dict.fromkeys(FIELD_NAMES, 0.1)


def persona(name="a", mixture=((1.0, 0.0),), temperature=1.0, share=1.0):
    return Persona(name, "of a test", mixture, temperature, share)


def refusal(build, *args, **values):
    with pytest.raises(AgentError) as caught:
        build(*args, **values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_mind_is_the_mixture_in_single_precision():
    mind = persona(mixture=((0.1, 0.2, 0.3), (1.0, -2.0, 0.0))).mind
    assert mind.dtype == np.float32
    assert mind.shape == (2, 3)
    assert mind[1].tolist() == [1.0, -2.0, 0.0]


def test_a_population_needs_personas_of_different_names():
    society = Society(MASK)
    assert "present and unique, got []" in refusal(Population, (), society)
    twice = (persona("a"), persona("a"))
    assert "present and unique, got ['a', 'a']" in refusal(Population, twice, society)


@pytest.mark.parametrize(
    "mixture",
    [((1.0, 0.0, 0.0),), ((1.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (1.0,)), (), ((),)],
)
def test_mixtures_have_one_shape(mixture):
    pair = (persona("a"), persona("b", mixture))
    assert "the same blocks and adapters" in refusal(Population, pair, Society(MASK))


@pytest.mark.parametrize("mixture", [((1.0, 0.0), (1.0,)), ()])
def test_a_lone_persona_needs_a_whole_mixture(mixture):
    message = refusal(Population, (persona("a", mixture),), Society(MASK))
    assert "the same blocks and adapters" in message


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_mixture_is_finite(number):
    message = refusal(Population, (persona("odd", ((number, 0.0),)),), Society(MASK))
    assert "persona 'odd'" in message


@pytest.mark.parametrize("name", ["temperature", "share"])
@pytest.mark.parametrize("number", [0.0, -1.0, np.nan])
def test_temperature_and_share_are_above_zero(name, number):
    message = refusal(Population, (persona("cold", **{name: number}),), Society(MASK))
    assert "persona 'cold'" in message
    assert "must be above 0" in message


@pytest.mark.parametrize(
    "mask", [{}, MASK | {"moon": 0.5}, {name: 0.1 for name in FIELD_NAMES if name != "news"}]
)
def test_masks_name_every_field_and_no_other(mask):
    assert refusal(Society, mask).startswith("society.mask: has fields")


@pytest.mark.parametrize("attention", [0, -1, len(FIELD_NAMES) + 1])
def test_attention_is_of_one_to_all_fields(attention):
    assert f"society.attention: is {attention}" in refusal(Society, MASK, attention=attention)


@pytest.mark.parametrize("attention", [1, len(FIELD_NAMES)])
def test_attention_may_be_narrow_or_whole(attention):
    assert Society(MASK, attention=attention).attention == attention
