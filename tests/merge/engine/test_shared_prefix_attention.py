import numpy as np
import pytest
import torch
from torch.nn import functional

from evobourse.merge.engine.shared_prefix_attention import Layout, Rows, attend

WIDTH = 16


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Pass:
    """Rows of several shapes over known keys and values, some behind rows of the same pass.

    Texts are lists of places: what each row sees, in order, and then its own tokens.
    """

    def __init__(self, known, prefixes, parts, heads=(9, 3), width=WIDTH, loud=1.0):
        self.known, self.prefixes, self.parts = known, [np.asarray(p, int) for p in prefixes], parts
        self.tokens = sum(len(near) * tokens for tokens, near, _ in parts)
        self.heads, kv_heads = heads
        self.query = loud * normal(0, self.tokens, self.heads, width)
        self.key, self.value = (
            loud * normal(s, known + self.tokens, kv_heads, width) for s in (1, 2)
        )

    def run(self, alone=False, fill=0):
        parts = [
            Rows(tokens, np.array(near, int).reshape(len(near), -1), np.array(prefix_of))
            for tokens, near, prefix_of in self.parts
        ]
        queries = self.heads // self.key.shape[1]
        layout = Layout.of(self.known, self.prefixes, parts, queries, alone)
        new = [x[self.known :, :, None] for x in (self.key, self.value)]
        query, *new = (
            torch.cat([x, x[:1].expand(fill, -1, -1, -1)]) for x in (self.query[:, :, None], *new)
        )
        pair = [x[: self.known].transpose(0, 1) for x in (self.key, self.value)]
        known = torch.stack(pair) if self.known else None
        module = torch.nn.Identity()
        out, weights = attend(module, query, *new, None, 0.3, layout=layout, known=known)
        assert weights is None
        return out[: self.tokens, 0], layout

    def texts(self):
        at = self.known
        for tokens, near, prefix_of in self.parts:
            for between, prefix in zip(near, prefix_of, strict=True):
                yield [*self.prefixes[prefix], *between], range(at, at + tokens)
                at += tokens

    def expected(self):
        """torch's own attention of every row alone, heads repeated by hand."""
        outs = []
        for before, own in self.texts():
            places = [*before, *own]
            repeat = self.heads // self.key.shape[1]
            key, value = (
                x[places].transpose(0, 1).repeat_interleave(repeat, dim=0)
                for x in (self.key, self.value)
            )
            query = self.query[[place - self.known for place in own]].transpose(0, 1)
            mask = torch.ones(len(own), len(places), dtype=torch.bool).tril(len(before))
            met = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=0.3
            )
            outs.append(met.transpose(0, 1))
        return torch.cat(outs)


@pytest.mark.parametrize("prefix", [0, 1, 119])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("heads", [(9, 3), (4, 4), (4, 1)])
@pytest.mark.parametrize("tokens", [1, 8])
def test_two_parts_with_one_softmax_equal_whole_attention(prefix, rows, heads, tokens):
    batch = Pass(prefix, [range(prefix)], [(tokens, [[]] * rows, [0] * rows)], heads, loud=3)
    torch.testing.assert_close(batch.run()[0], batch.expected(), rtol=1e-4, atol=1e-4)


def test_large_scores_do_not_overflow():
    batch = Pass(10, [range(10)], [(4, [[], []], [0, 0])], (3, 3), loud=40)
    torch.testing.assert_close(batch.run()[0], batch.expected(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("near", [0, 1, 7])
@pytest.mark.parametrize("prefix_of", [[0, 0, 0], [0, 1, 2], [1, 0, 1, 1, 2, 0]])
def test_each_row_meets_its_own_prefix_and_what_is_near(prefix_of, near, alone):
    prefixes = [range(20 * n, 20 * n + 20) for n in range(3)]
    between = [[60 + (n + k) % 9 for k in range(near)] for n in range(len(prefix_of))]
    batch = Pass(69, prefixes, [(4, between, prefix_of)])
    out, layout = batch.run(alone)
    torch.testing.assert_close(out, batch.expected(), rtol=1e-4, atol=1e-4)
    if alone:  # each row a copy of its prefix: a shape that does not depend on who shares what
        assert layout.far[0].blocks == len(prefix_of)
        assert len(layout.far[0].seen) == 20 * len(prefix_of)


def test_rows_of_many_shapes_and_prefixes_share_a_pass_and_see_one_another():
    # A prefix in the pass itself (its places 9 to 11 begin where the known 9 end), rows behind
    # it, and a row behind one of those.
    prefixes = [[], range(9), [*range(5), 9, 10, 11]]
    parts = [
        (3, [[]], [0]),
        (2, [[], []], [1, 1]),
        (4, [[], []], [2, 2]),
        (1, [[3, 4], [5, 6]], [2, 2]),
        (2, [[16, 17, 18, 19]], [2]),
    ]
    batch = Pass(9, prefixes, parts)
    out, layout = batch.run(fill=5)
    torch.testing.assert_close(out, batch.expected(), rtol=1e-4, atol=1e-4)
    lengths = [len(before) + k for before, own in batch.texts() for k in range(len(own))]
    assert layout.positions.tolist() == lengths
    assert layout.row_of.tolist() == [0] * 3 + [1, 1, 2, 2] + [3] * 4 + [4] * 4 + [5, 6, 7, 7]
    assert [far.stop - far.start for far in layout.far] == [4, 12]


def test_unevenly_shared_prefixes_bring_no_more_filling_than_tokens():
    owners = [0] * 400 + list(range(1, 40))
    prefixes = [range(n, n + 5) for n in range(40)]
    batch = Pass(60, prefixes, [(1, [[]] * len(owners), owners)])
    out, layout = batch.run()
    torch.testing.assert_close(out, batch.expected(), rtol=1e-4, atol=1e-4)
    assert len(layout.far[0].members) <= 2 * len(owners)


@pytest.mark.parametrize("near", [0, 3])
@pytest.mark.parametrize("tokens", range(1, 8, 2))
@pytest.mark.parametrize("prefixes", [1, 40])
def test_a_row_is_the_same_bits_among_any_others_and_their_prefixes(tokens, near, prefixes):
    rows, generator = 300, torch.Generator().manual_seed(tokens)
    owner = torch.randint(prefixes, (rows,), generator=generator).sort().values.tolist()
    seen = [range(122 * n, 122 * n + 122) for n in range(prefixes)]
    held = 122 * prefixes
    between = [range(held + near * n, held + near * n + near) for n in range(rows)]
    whole = Pass(held + near * rows, seen, [(tokens, between, owner)], width=64)
    expected = whole.run()[0].unflatten(0, (rows, tokens))

    def of(chosen):
        own = [place for row in chosen for place in range(row * tokens, (row + 1) * tokens)]
        near, whose = [between[row] for row in chosen], [owner[row] for row in chosen]
        part = Pass(whole.known, seen, [(tokens, near, whose)], width=64)
        part.query = whole.query[own]
        known, new = torch.arange(whole.known), torch.tensor(own) + whole.known
        part.key, part.value = (x[torch.cat([known, new])] for x in (whole.key, whole.value))
        return part.run()[0].unflatten(0, (len(chosen), tokens))

    largest = max(set(owner), key=owner.count)
    own = [row for row in range(rows) if owner[row] == largest]
    one_by_one = [owner.index(group) for group in sorted(set(owner))]
    for chosen in (own * 2, one_by_one, [7], list(range(150, 250)), list(range(299, 200, -1))):
        assert torch.equal(of(chosen), expected[chosen])
