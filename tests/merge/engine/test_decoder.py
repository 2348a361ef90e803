import pytest
import torch

from evobourse.agents.observation import OPTIONS, render_rules, render_view
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.parts import Prefix

SPLIT = 24


@pytest.fixture(scope="module")
def prompts(smol, market_views):
    """Rules, private texts of one length, option ids, and transformers' logits of the whole."""
    model, tokenizer = smol

    def ids(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    private = [ids(render_view(int(view))) for view in market_views]
    private = [tokens for tokens in private if len(tokens) == 9][:6]
    options = [ids(option)[0] for option in OPTIONS]
    rules = ids(render_rules())
    with torch.inference_mode():
        logits = model(torch.tensor([rules + tokens for tokens in private])).logits
    return rules, private, options, logits[:, -1, options]


def test_prefix_trunk_and_rest_equal_the_plain_forward(smol, prompts):
    rules, private, options, expected = prompts
    decoder = Decoder(smol[0])
    depth = decoder.depth
    hidden, lower = decoder.run(decoder.embed([rules]), 0, SPLIT)
    _, upper = decoder.run(hidden, SPLIT, depth)
    prefix = Prefix(len(rules), {**lower.layers, **upper.layers})
    hidden, _ = decoder.run(decoder.embed(private), 0, SPLIT, prefix)
    hidden, fresh = decoder.run(hidden, SPLIT, depth, prefix)
    logits = decoder.option_logits(hidden[:, -1], options)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-3)
    assert fresh.tokens == 6 * 9
    assert sorted(fresh.layers) == list(range(SPLIT, depth))


def test_a_prefix_may_be_computed_in_pieces(smol, prompts):
    rules, private, options, expected = prompts
    decoder = Decoder(smol[0])
    _, head = decoder.run(decoder.embed([rules[:50]]), 0, decoder.depth)
    _, tail = decoder.run(decoder.embed([rules[50:]]), 0, decoder.depth, head)
    prefix = head.followed_by(tail)
    assert prefix.tokens == len(rules)
    hidden, _ = decoder.run(decoder.embed(private), 0, decoder.depth, prefix)
    logits = decoder.option_logits(hidden[:, -1], options)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-3)


def test_running_spans_leaves_the_model_as_it_was(smol, prompts):
    ids = torch.tensor([prompts[0]])
    decoder = Decoder(smol[0])
    with torch.inference_mode():
        before = smol[0](ids).logits
        with pytest.raises(KeyError):
            decoder.run(decoder.embed([[5]]), 0, 2, Prefix(1, {}))
        decoder.run(decoder.embed([[5]]), 0, 2)
        assert torch.equal(smol[0](ids).logits, before)


def test_without_a_prefix_the_whole_prompt_is_read_at_once(smol, prompts):
    rules, private, options, expected = prompts
    decoder = Decoder(smol[0])
    hidden, _ = decoder.run(decoder.embed([rules + private[0]]), 0, decoder.depth)
    logits = decoder.option_logits(hidden[:, -1], options)
    torch.testing.assert_close(logits, expected[:1], rtol=0, atol=1e-3)


def test_option_logits_are_the_same_bits_in_every_batch(smol):
    decoder = Decoder(smol[0])
    hidden = torch.randn(257, 576, generator=torch.Generator().manual_seed(0))
    whole = decoder.option_logits(hidden, [330, 389, 340])
    for rows in (1, 2, 3, 7, 64):
        assert torch.equal(decoder.option_logits(hidden[:rows], [330, 389, 340]), whole[:rows])
