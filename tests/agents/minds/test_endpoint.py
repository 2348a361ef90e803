import sqlite3

import numpy as np
import pytest
import torch

from evobourse.agents.errors import CapReached, EndpointError
from evobourse.agents.minds.answer_memo import AnswerMemo
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.completions import EndpointLimits
from evobourse.agents.minds.endpoint import EndpointMinds, parse_endpoint
from evobourse.agents.minds.voices import put_in_words
from evobourse.agents.observation import OPTIONS, VIEWS, render_rules, render_view
from evobourse.evolve.bases.limits import BaseLimits
from evobourse.evolve.bases.opening import open_bases
from evobourse.evolve.bases.served import EndpointBases
from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.recipe import Recipe

STYLES = ("momentum", "value", "contrarian")
MOST = 2000  # tokens listed, so that all five options are among them
QUICK = EndpointLimits(concurrency=4, timeout_seconds=30.0, attempts=5)


@pytest.fixture(autouse=True)
def _calm(server, monkeypatch):
    server.reset()
    monkeypatch.setattr("evobourse.agents.minds.completions._backoff", lambda state: 0.01)


@pytest.fixture
def ask(server, tmp_path):
    """Open minds on the server, remembering in a file of the test's own."""

    def opened(query="", limits=QUICK, memo="answers.sqlite"):
        kept = AnswerMemo(tmp_path / memo)
        query = query or f"?top={MOST}"
        return EndpointMinds(parse_endpoint(server.base(query)), STYLES, limits, kept)

    return opened


def mind(*coefficients):
    return np.array([coefficients], np.float32)


BARE = mind(0, 0, 0)


@pytest.fixture(scope="module")
def views(market_views):
    return np.sort(market_views)[:8]


@pytest.fixture(scope="module")
def exact(smol, views):
    """The option logits of the model's own fp32 forward over each whole prompt."""
    model, tokenizer = smol
    options = [tokenizer(option, add_special_tokens=False).input_ids[0] for option in OPTIONS]
    rows = []
    with torch.inference_mode():
        for view in views.tolist():
            prompt = tokenizer(render_rules() + render_view(view), return_tensors="pt")
            rows.append(model(prompt.input_ids).logits[0, -1, options])
    return torch.stack(rows).numpy()


def assert_same_up_to_a_constant(ours, exact):
    shift = (ours - exact).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(ours - shift, exact, atol=1e-3)


# Answers


@pytest.mark.parametrize("shape", ["openai", "llama.cpp"])
def test_answers_are_the_models_own_logits_up_to_a_constant(shape, ask, server, views, exact):
    server.shape = shape
    minds = ask()
    assert_same_up_to_a_constant(minds.answer(BARE, views), exact)
    assert (minds.counters.computed, minds.counters.floored) == (len(views), 0)
    assert minds.client.budget.tokens == server.tokens


def test_token_ids_can_be_sent_and_read_instead_of_text(ask, server, views, exact):
    minds = ask("?tokenizer=smollm2-135m-instruct&top=2000")
    assert_same_up_to_a_constant(minds.answer(BARE, views), exact)
    assert all(isinstance(prompt, list) for prompt in server.prompts)


def test_injected_failures_change_no_answer(ask, server, views, exact):
    server.trouble.extend([500, 429, "malformed", "empty", "hang", 503, 408])
    minds = ask(limits=EndpointLimits(concurrency=3, timeout_seconds=1.5, attempts=8))
    assert_same_up_to_a_constant(minds.answer(BARE, views), exact)
    assert server.requests == minds.client.budget.requests >= len(views) + 7


def test_what_is_not_listed_gets_the_least_listed_value_and_is_counted(ask, views):
    whole, narrow = ask(memo="whole"), ask("?top=20", memo="narrow")
    full, cut = whole.answer(BARE, views), narrow.answer(BARE, views)
    missing = cut != full
    assert narrow.counters.floored == missing.sum() > 0
    assert whole.counters.floored == 0
    print(f"top 20: {missing.sum()} of {missing.size} options are not listed")
    assert (cut[missing] > full[missing]).all()
    lowest = np.where(missing, cut, np.inf).min(axis=1)
    assert (cut >= lowest[:, None])[missing.any(axis=1)].all()


def test_a_reply_that_lists_no_option_is_no_answer(ask, server, views, monkeypatch):
    others = torch.linspace(-30, -1, 49152).log_softmax(0)
    monkeypatch.setattr(server, "logprobs", lambda ids: others)
    with pytest.raises(EndpointError, match=r"none of the options  A,.* among the \d+ tokens"):
        ask().answer(BARE, views[:1])


@pytest.fixture(scope="module")
def exact_logprobs(smol, views):
    """The options' own log-softmax in the model's fp32 forward over each whole prompt."""
    model, tokenizer = smol
    options = [tokenizer(option, add_special_tokens=False).input_ids[0] for option in OPTIONS]
    prompts = [tokenizer(render_rules() + render_view(v)).input_ids for v in views[:2].tolist()]
    with torch.inference_mode():
        rows = [model(torch.tensor([ids])).logits[0, -1].log_softmax(0)[options] for ids in prompts]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("query", ["?echo=1", "?echo=1&tokenizer=smollm2-135m-instruct"])
def test_echoes_are_the_models_own_log_softmax_of_all_five_options(
    query, ask, server, views, exact_logprobs
):
    minds = ask(query, EndpointLimits(concurrency=2, max_requests=10))
    np.testing.assert_allclose(minds.answer(BARE, views[:2]), exact_logprobs, atol=1e-3)
    assert (minds.counters.computed, minds.counters.floored) == (2, 0)
    assert (server.requests, minds.client.budget.requests) == (2, 10)
    assert minds.client.budget.tokens == server.tokens
    with pytest.raises(CapReached, match="max_requests is 10: 10 requests"):
        minds.answer(BARE, views[:3])


def test_a_question_is_echoed_whole_or_not_at_all(ask, server, views):
    with pytest.raises(CapReached, match="max_requests is 9: 5 requests"):
        ask("?echo=1", EndpointLimits(concurrency=1, max_requests=9)).answer(BARE, views[:2])
    assert server.requests == 1
    again = ask("?echo=1")
    again.answer(BARE, views[:2])
    assert (again.counters.recalled, again.counters.computed) == (1, 1)


def test_a_server_that_does_not_echo_is_refused(ask, server, views):
    server.shape = "no echo"
    with pytest.raises(EndpointError, match="without logprobs of each option at an echoed prompt"):
        ask("?echo=1", EndpointLimits(attempts=2)).answer(BARE, views[:1])


class Tabled:
    """Minds that answer from a table."""

    def __init__(self, logits):
        self.logits = logits

    def ask(self, mind, views):
        pass

    def answer(self, mind, views):
        return self.logits[views]


def test_a_constant_a_question_changes_nothing_that_a_population_does(population):
    logits = np.random.default_rng(3).normal(0, 3, (VIEWS, 5))
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)) - 1.7
    people = population([(0.1, 0.4, 0.2), (0.0, 0.0, 1.0)], temperature=0.6, attention=2)
    [whole], [up_to_constants] = (tabulate_choices([people], Tabled(x)) for x in (logits, logprobs))
    np.testing.assert_allclose(whole, up_to_constants, atol=1e-12)


# Minds


def test_a_mind_is_put_in_words_between_the_rules_and_the_view(ask, server, views):
    minds = ask()
    chosen = mind(0.3, -1.2, 0.1)
    minds.answer(chosen, views[:1])
    [prompt] = server.prompts
    rules, view = render_rules(), render_view(int(views[0]))
    said = prompt.removeprefix(rules).removesuffix(view)
    assert said == (
        " Your style: the opposite of this: you buy below the yearly mean and sell above it; "
        "to some degree you buy what rises and sell what falls."
    )
    assert prompt == minds.prompt(chosen, int(views[0]))
    assert minds.prompt(BARE, 0) == rules + render_view(0)
    odd = put_in_words(mind(1.0), ("odd",))
    assert odd.text == " Your style: you invest in the style called odd."


def test_served_adapters_are_asked_by_name(ask, server, views):
    minds = ask("?loras=1&top=2000")
    for chosen in (mind(0.9, 0.2, 0.0), mind(0.1, 0.0, 0.6), mind(0.3, 0.4, -1.0)):
        minds.answer(chosen, views[:1])
    assert server.models == {"momentum": 1, "contrarian": 1, "smol": 1}
    assert set(server.prompts) == {render_rules() + render_view(int(views[0]))}


# Limits


def test_no_more_requests_are_under_way_than_allowed(ask, server, views):
    server.pause = 0.05
    ask(limits=EndpointLimits(concurrency=3)).answer(BARE, views)
    assert server.most_under_way == 3
    server.reset()
    ask(limits=EndpointLimits(concurrency=1), memo="other").answer(BARE, views[:3])
    assert server.most_under_way == 1


@pytest.mark.parametrize("cap", [{"max_requests": 5}, {"max_tokens": 1000}])
def test_the_cap_stops_in_time_and_loses_nothing(cap, ask, server, views, exact):
    limited = ask(limits=EndpointLimits(concurrency=4, **cap))
    [(name, most)] = cap.items()
    with pytest.raises(CapReached, match=f"minds.endpoint.{name} is {most}: .* remembered"):
        limited.answer(BARE, views)
    sent = server.requests
    assert 0 < sent < len(views)
    assert server.requests <= cap.get("max_requests", np.inf)
    assert server.tokens <= cap.get("max_tokens", np.inf)
    again = ask()
    assert_same_up_to_a_constant(again.answer(BARE, views), exact)
    assert (again.counters.recalled, again.counters.computed) == (sent, len(views) - sent)
    assert server.requests == len(views)


def test_attempts_count_against_the_cap(ask, server, views):
    server.trouble.extend([500] * 9)
    with pytest.raises(CapReached, match="3 requests and 0 tokens"):
        ask(limits=EndpointLimits(concurrency=1, max_requests=3)).answer(BARE, views[:1])
    assert server.requests == 3


# Trouble that lasts


def test_lasting_trouble_is_one_line_and_keeps_what_was_answered(ask, server, views):
    server.trouble.extend([None, None, *[500] * 99])
    with pytest.raises(EndpointError, match=r"says 500 .*injected.*, 5 times in a row") as caught:
        ask(limits=EndpointLimits(concurrency=1, attempts=5)).answer(BARE, views)
    assert "\n" not in str(caught.value)
    assert server.requests == 7
    server.reset()
    ask().answer(BARE, views)
    assert server.requests == len(views) - 2


def test_a_refusal_is_not_asked_again(ask, server, views):
    server.trouble.extend([404] * 9)
    with pytest.raises(EndpointError, match=r"says 404 .*; check the URL, model name and key"):
        ask(limits=EndpointLimits(concurrency=1)).answer(BARE, views)
    assert server.requests == 1


def test_a_server_that_is_not_there_is_named(tmp_path):
    minds = EndpointMinds(parse_endpoint("http://127.0.0.1:9/v1#x"), STYLES, QUICK)
    with pytest.raises(EndpointError, match=r"endpoint http://127.0.0.1:9/v1: cannot be reached"):
        minds.answer(BARE, np.array([3]))


@pytest.mark.parametrize(
    "base",
    ["http://h:1/v1", "http://h/v1?tops=3#m", "http://h/v1?top=4#m", "http://h/v1?loras=yes#m",
     "http://h/v1?echo=2#m"],
)  # fmt: skip
def test_a_base_that_names_no_model_or_an_unknown_setting_is_refused(base):
    with pytest.raises(EndpointError, match=r"expected http://HOST:PORT/v1.*#MODEL"):
        parse_endpoint(base)


def scaled(logprobs, temperature):
    """What a server lists that divides by the temperature asked for."""
    if temperature == 0:
        return torch.where(logprobs == logprobs.max(), 0.0, -torch.inf)
    return (logprobs / temperature).log_softmax(0)


def test_the_temperature_asked_for_changes_no_answer(ask, server, views, exact):
    server.spoil = scaled
    assert_same_up_to_a_constant(ask().answer(BARE, views), exact)


# Of 2,000 tokens two have one text.
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x, t: scaled(x, 0), "received -inf, expected natural logarithms"),
        (lambda x, t: torch.where(x < x.topk(9).values[-1], -9999.0, x), "received -9999, expect"),
        (lambda x, t: torch.where(x < x.topk(9).values[-1], -100.0, x), "received -100, expected"),
        (lambda x, t: x.exp(), "received 0.[0-9]+, expected natural logarithms"),
        (lambda x, t: x / 2.302585 / 2, "probabilities of 1999 tokens add up to [0-9.e+]+$"),
        (lambda x, t: x - x.max(), "add up to [0-9.]+$"),
        (lambda x, t: x - 30, "the likeliest 1999 tokens have a probability of .* together"),
    ],
)
def test_what_is_no_distribution_is_refused_at_once(spoil, said, ask, server, views):
    server.spoil = spoil
    with pytest.raises(EndpointError, match=f"logprobs that are no distribution: .*{said}"):
        ask(limits=EndpointLimits(concurrency=1)).answer(BARE, views[:1])
    assert server.requests == 1


@pytest.mark.parametrize("usage", [lambda n: None, lambda n: {"total_tokens": None}, lambda n: {}])
def test_a_reply_that_does_not_say_its_cost_is_an_answer(usage, ask, server, views, exact):
    server.usage = usage
    minds = ask()
    assert_same_up_to_a_constant(minds.answer(BARE, views), exact)
    assert server.requests == len(views)
    assert minds.client.budget.tokens > server.tokens  # booked at its most


# As a base


def test_a_base_is_opened_by_its_url_and_takes_no_recipe(
    server, views, exact, tmp_path, style_folders, monkeypatch
):
    monkeypatch.setenv("EVOBOURSE_API_KEY", "open sesame")
    bases = open_bases(
        server.base(f"?top={MOST}"),
        list(style_folders.values()),
        (),
        limits=BaseLimits(memo=tmp_path / "a"),
    )
    assert isinstance(bases, EndpointBases)
    assert_same_up_to_a_constant(bases.serve(None).answer(BARE, views), exact)
    assert {headers["authorization"] for headers in server.headers} == {"Bearer open sesame"}
    with pytest.raises(RecipeError, match="cannot be merged"):
        bases.serve(Recipe("linear", "x", ("value",), ((0.5,),)))


def test_other_servers_models_and_settings_share_no_answers(ask, server, views, tmp_path):
    for query in ("", "?top=1000", "?loras=1&top=2000", "?echo=1"):
        ask(query).answer(BARE, views[:2])
    with sqlite3.connect(tmp_path / "answers.sqlite") as file:
        assert file.execute("SELECT count(*) FROM answers").fetchall() == [(8,)]
    assert server.requests == 8
    old = "{'url': 'http://h/v1', 'model': 'm', 'top': 20, 'loras': False, 'tokenizer': ''}"
    before_echoes = EndpointMinds(parse_endpoint("http://h/v1#m"), STYLES, QUICK)
    assert before_echoes.base_hash == f"endpoint {old}"
