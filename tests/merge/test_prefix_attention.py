import pytest
import torch
from torch.nn import functional

from merge.prefix_attention import Groups, attend


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


# Several prefixes in one batch

CPU = torch.device("cpu")
ALONE = torch.device("meta")  # any that is no processor's: each row meets its prefix alone


def grouped_batch(prefix_of, tokens, near):
    rows, prefixes = len(prefix_of), max(prefix_of) + 1
    query = normal(0, rows, 9, tokens, 64)
    key, value = (normal(s, rows, 3, tokens, 64) for s in (1, 2))
    shared = tuple(normal(s, prefixes, 3, 122, 64) for s in (3, 4))
    between = tuple(normal(s, rows, 3, near, 64) for s in (5, 6)) if near else None
    return query, key, value, shared, between


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("near", [0, 1, 7])
@pytest.mark.parametrize("prefix_of", [[0, 0, 0], [0, 1, 2], [1, 0, 1, 1, 2, 0]])
def test_each_row_meets_its_own_prefix_and_what_is_near(prefix_of, near, alone):
    query, key, value, shared, between = grouped_batch(prefix_of, 4, near)
    groups = Groups.of(prefix_of, max(prefix_of) + 1, 12, CPU)
    if alone:
        groups = Groups(torch.tensor(prefix_of))
    out, _ = attend(
        torch.nn.Identity(), query, key, value, None, 0.3,
        shared=shared, near=between, groups=groups,
    )  # fmt: skip
    for row, prefix in enumerate(prefix_of):
        before = [part[prefix : prefix + 1] for part in shared]
        if near:
            pairs = zip(before, between, strict=True)
            before = [torch.cat([far, part[row : row + 1]], dim=2) for far, part in pairs]
        one = slice(row, row + 1)
        expected = whole_attention(query[one], key[one], value[one], before)
        torch.testing.assert_close(out[one], expected, rtol=1e-4, atol=1e-4)


def test_on_a_gpu_each_row_meets_its_prefix_alone():
    assert Groups.of([0, 0], 1, 3, CPU) is None
    assert Groups.of([0, 0], 1, 3, ALONE).members is None


@pytest.mark.parametrize("near", [0, 3])
@pytest.mark.parametrize("tokens", [1, 3])
def test_a_row_is_the_same_bits_among_any_others_and_their_prefixes(tokens, near):
    rows, generator = 300, torch.Generator().manual_seed(tokens)
    owner = torch.randint(40, (rows,), generator=generator).sort().values.tolist()
    owner = [sorted(set(owner)).index(group) for group in owner]
    query, key, value, shared, between = grouped_batch(owner, tokens, near)

    def of(chosen):
        numbers = {owner[row]: None for row in chosen}
        place = {group: at for at, group in enumerate(numbers)}
        groups = Groups.of([place[owner[row]] for row in chosen], len(place), 3 * tokens, CPU)
        return attend(
            torch.nn.Identity(), query[chosen], key[chosen], value[chosen], None, 0.125,
            shared=tuple(part[list(place)] for part in shared), groups=groups,
            near=tuple(part[chosen] for part in between) if near else None,
        )[0]  # fmt: skip

    whole = of(list(range(rows)))
    largest = max(set(owner), key=owner.count)
    own = [row for row in range(rows) if owner[row] == largest]
    one_by_one = [owner.index(group) for group in range(max(owner) + 1)]
    for part in (own * 12, one_by_one * 2, list(range(150, 250)), list(range(299, 200, -1))):
        assert torch.equal(of(part), whole[part])
