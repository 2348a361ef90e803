import pytest
import torch
from torch.nn import functional

from merge.prefix_attention import attend


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole_attention(query, key, value, shared):
    """torch's own attention over the prefix copied to every row, heads repeated by hand."""
    rows, heads, tokens, _ = query.shape
    if shared is not None:
        key, value = (
            torch.cat([part.expand(rows, -1, -1, -1), own], dim=2)
            for part, own in zip(shared, (key, value), strict=True)
        )
    repeat = heads // key.shape[1]
    key, value = (x.repeat_interleave(repeat, dim=1) for x in (key, value))
    before = key.shape[2] - tokens
    mask = torch.ones(tokens, key.shape[2], dtype=torch.bool).tril(before)
    out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)
    return out.transpose(1, 2)


@pytest.mark.parametrize("prefix", [None, 1, 119])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize(("heads", "groups"), [(9, 3), (4, 4), (4, 1)])
@pytest.mark.parametrize("tokens", [1, 8])
def test_two_parts_with_one_softmax_equal_whole_attention(prefix, rows, heads, groups, tokens):
    query = 3 * normal(0, rows, heads, tokens, 16)
    key, value = (3 * normal(s, rows, groups, tokens, 16) for s in (1, 2))
    shared = None
    if prefix:
        shared = tuple(3 * normal(s, 1, groups, prefix, 16) for s in (3, 4))
    out, weights = attend(torch.nn.Identity(), query, key, value, None, 0.3, shared=shared)
    assert weights is None
    expected = whole_attention(query, key, value, shared)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_large_scores_do_not_overflow():
    query, key, value = (normal(s, 2, 3, 4, 16) for s in range(3))
    shared = (100 * normal(3, 1, 3, 10, 16), normal(4, 1, 3, 10, 16))
    out, _ = attend(torch.nn.Identity(), 100 * query, key, value, None, 0.3, shared=shared)
    torch.testing.assert_close(
        out, whole_attention(100 * query, key, value, shared), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("tokens", range(1, 10))
def test_a_row_is_the_same_bits_at_any_place_in_any_batch(tokens):
    rows, generator = 200, torch.Generator().manual_seed(tokens)
    # The layout that a decoder layer hands over: [rows, tokens, heads, width], transposed.
    parts = [normal(s, rows, tokens, heads, 64) for s, heads in ((0, 9), (1, 3), (2, 3))]
    shared = (normal(3, 1, 3, 122, 64), normal(4, 1, 3, 122, 64))

    def of(chosen):
        query, key, value = (part[chosen].transpose(1, 2) for part in parts)
        return attend(torch.nn.Identity(), query, key, value, None, 0.125, shared=shared)[0]

    whole = of(torch.arange(rows))
    for count in (70, 71, 100, 129, 200):
        chosen = torch.randperm(rows, generator=generator)[:count]
        assert torch.equal(of(chosen), whole[chosen])
