import numpy as np
import pytest
import torch

from evobourse.agents.observation import INVOCATION, OPTIONS, render_view
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.byte_budget import ByteBudget
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.prompt import Prompt
from evobourse.merge.engine.prompt_trie import PromptTrie
from evobourse.merge.engine.shared_prefix_attention import Rows

ROOMY = 10**9


@pytest.fixture(scope="module")
def prompt_of(tokenizer):
    """Make prompts: rules or other shared text, the invocation, and private texts cut in steps."""

    def ids(text):
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)

    def make(*texts, length=None, shared="Every morning you see signs and answer with a letter."):
        pieces = [ids(text) for text in texts]
        steps = [step for piece in pieces for step in cut(piece, length or len(piece))]
        return Prompt(ids(shared), ids(INVOCATION), tuple(steps))

    return make


@pytest.fixture(scope="module")
def memories(market_views):
    """Private texts: what was seen on five mornings, and then one of several sixth ones."""
    words = [render_view(int(view)).removeprefix(INVOCATION) for view in market_views]
    past = ["".join(word.removesuffix(" ->") for word in words[at : at + 5]) for at in (0, 5)]
    return [(past[n // 4], words[10 + n]) for n in range(8)]


@pytest.fixture(scope="module")
def options(tokenizer):
    return [tokenizer(option, add_special_tokens=False).input_ids[0] for option in OPTIONS]


@pytest.fixture(scope="module")
def fresh_trie(style_engine):
    """Make tries that know nothing, all on the INT8 model with three activated styles."""

    def make(limit=ROOMY):
        return PromptTrie(style_engine.decoder, style_engine.bank, ByteBudget(limit))

    return make


def cut(tokens, length):
    return [tokens[at : at + length] for at in range(0, len(tokens), length)]


def states(trie, questions):
    return torch.cat([part for _, part in trie.last_states(questions)])


def mixture(seed):
    return np.random.default_rng(seed).normal(0, 0.6, (1, 3)).astype(np.float32)


# The full prompt


@pytest.mark.parametrize(("length", "pieces"), [(None, 2), (8, 2), (1, 1)])
def test_logits_equal_the_plain_forward_of_the_full_prompt_in_fp32(
    length, pieces, smol, prompt_of, memories, options, monkeypatch
):
    # As if adapters began there: both spans of layers run in fp32.
    monkeypatch.setattr(Decoder, "first_adapted", 24)
    trie = PromptTrie(Decoder(smol[0]), AdapterBank(smol[0], ()), ByteBudget(ROOMY))
    prompts = [prompt_of(*texts[-pieces:], length=length) for texts in memories[2:6]]
    logits = trie.decoder.option_logits(
        states(trie, [(np.zeros((1, 0), np.float32), prompt) for prompt in prompts]), options
    )
    for prompt, own in zip(prompts, logits, strict=True):
        with torch.inference_mode():
            whole = smol[0](torch.tensor([prompt.tokens])).logits[0, -1, options]
        torch.testing.assert_close(own, whole, rtol=0, atol=1e-3)


# Exact in every trie


@pytest.mark.parametrize("length", [None, 9])
def test_a_state_is_the_same_bits_whatever_else_is_asked(length, fresh_trie, prompt_of, memories):
    prompts = [prompt_of(*texts, length=length) for texts in memories[2:6]]
    minds = [mixture(seed) for seed in range(3)]
    questions = [(mind, prompt) for mind in minds for prompt in prompts]
    together = states(fresh_trie(), questions)
    assert len(torch.unique(together, dim=0)) == len(questions)
    for n in (5, 10):
        assert torch.equal(states(fresh_trie(), [questions[n]])[0], together[n])
    backwards = fresh_trie()
    assert torch.equal(states(backwards, questions[::-5]), together.flip(0)[::5])
    assert torch.equal(states(backwards, questions), together)  # some of it over what is known


def test_many_minds_in_one_batch_answer_as_each_alone(fresh_trie, prompt_of, memories):
    prompts = [prompt_of(today) for _, today in memories[:2]]
    questions = [(mixture(seed), prompt) for seed in range(40) for prompt in prompts]
    together, shapes = fresh_trie(), []
    run = together.decoder.run_pass

    def watched(hidden, first, last, layout, *rest):
        shapes.append(int(layout.row_of[-1]) + 1)
        return run(hidden, first, last, layout, *rest)

    together.decoder.run_pass = watched
    mixed = states(together, questions)
    del together.decoder.run_pass
    assert len(shapes) == 2  # trunk and minds: one pass each, of all shapes
    assert shapes[1] == 1 + 40 + len(questions)  # rules, openings and all steps
    for n in (0, 31, 79):
        assert torch.equal(states(fresh_trie(), questions[n : n + 1])[0], mixed[n])


def test_a_common_beginning_is_computed_once(fresh_trie, prompt_of, memories):
    trie, texts = fresh_trie(), memories[:4]
    prompts = [prompt_of(*pair) for pair in texts]
    states(trie, [(mixture(n), prompt) for n in range(2) for prompt in prompts])
    past, todays = len(prompts[0].steps[0]), [len(prompt.steps[1]) for prompt in prompts]
    assert past >= 20
    assert trie.counters.trunk_rows == 1 + len(texts)
    assert trie.counters.tokens == 2 * (past + sum(todays))


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0)])
def test_a_prompt_may_be_the_beginning_of_another(order, fresh_trie, prompt_of, memories):
    longer = prompt_of(*memories[0])
    shorter = Prompt(longer.shared, longer.opening, longer.steps[:1])
    bare = Prompt(longer.shared, longer.opening, ())
    questions = [(mixture(0), prompt) for prompt in (shorter, bare, longer)]
    together = states(fresh_trie(), questions)
    one_after_another = fresh_trie()
    for n in order:
        assert torch.equal(states(one_after_another, questions[n : n + 1])[0], together[n])


@pytest.mark.parametrize("read", [[], [53], [0, 8, 9, 30], [*range(5, 40)], [*range(54)]])
@pytest.mark.parametrize("first", [22, 29, 30])
def test_what_is_read_has_the_bits_that_it_has_among_all(first, read, style_engine):
    decoder = style_engine.decoder
    hidden = torch.randn(54, 576, generator=torch.Generator().manual_seed(0))
    rows = Rows(9, np.empty((6, 0), np.int64), np.zeros(6, np.int64))
    layout = decoder.lay_out(0, [np.empty(0, np.int64)], [rows])
    mixtures = torch.from_numpy(np.stack([mixture(seed) for seed in range(6)]))
    with style_engine.bank.mixed(mixtures):
        whole, keys = decoder.run_pass(hidden, first, decoder.depth, layout)
        some, same = decoder.run_pass(
            hidden, first, decoder.depth, layout, read=torch.tensor(read, dtype=torch.int64)
        )
    assert torch.equal(some, whole[read])
    assert keys.layers.keys() == same.layers.keys()
    assert all(torch.equal(pair, same.layers[place]) for place, pair in keys.layers.items())


# Memory


@pytest.mark.parametrize("limit", [0, 400_000, 2_000_000])
def test_under_a_small_budget_the_bits_are_the_same_and_no_more_is_held(
    limit, fresh_trie, prompt_of, memories
):
    prompts = [prompt_of(*texts) for texts in memories[3:5]]
    questions = [(mixture(seed), prompt) for prompt in prompts for seed in range(2)][1:]
    expected = states(fresh_trie(), questions)
    cramped = fresh_trie(limit)
    assert torch.equal(states(cramped, questions), expected)
    assert cramped.budget.most_held <= limit
    assert (cramped.budget.most_held > 0) == (limit > 0)


def test_where_memory_runs_out_the_answers_are_the_same_bits(fresh_trie, prompt_of, memories):
    prompts = [prompt_of(today) for _, today in memories[:2]]
    questions = [(mixture(seed), prompt) for seed in range(40) for prompt in prompts]
    expected = states(fresh_trie(), questions)
    cramped, failures = fresh_trie(), []
    run = cramped.decoder.run_pass

    def starved(hidden, *spans):
        if len(hidden) > 130:
            failures.append(len(hidden))
            torch.empty(1 << 60, dtype=torch.uint8)  # the allocator's own error
        return run(hidden, *spans)

    cramped.decoder.run_pass = starved
    try:
        assert torch.equal(states(cramped, questions), expected)
    finally:
        del cramped.decoder.run_pass
    assert 0 < len(failures) < 8
