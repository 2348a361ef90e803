"""Attention against float64, and the same bits however texts are cut and who is beside whom."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.merge.engine.exact import attention
from evobourse.merge.engine.exact.arithmetic import Norm
from evobourse.merge.engine.exact.attention import ExactLayout, Heads, attend, turn
from evobourse.merge.engine.exact.rotary import frequencies, turn_table
from evobourse.merge.engine.shared_prefix_attention import Rows


class Pass:
    """Rows of several shapes over known keys and values, some behind rows of the same pass.

    Parts are tokens a row, places between prefix and own tokens a row, and each row's prefix.
    """

    def __init__(self, heads, known, prefixes, parts, loud=1.0):
        self.heads, self.known, self.parts = heads, known, parts
        self.prefixes = [np.asarray(p, int) for p in prefixes]
        self.tokens = sum(len(near) * tokens for tokens, near, _ in parts)
        rng = np.random.default_rng(0)
        self.query = loud * rng.standard_normal((self.tokens, heads.queries * heads.width))
        self.query = self.query.astype(np.float32)
        shape = (2, heads.keys, known + self.tokens, heads.width)
        self.pair = (loud * rng.standard_normal(shape)).astype(np.float32)

    def run(self):
        rows = [
            Rows(tokens, np.array(near, int).reshape(len(near), -1), np.array(prefix_of))
            for tokens, near, prefix_of in self.parts
        ]
        self.layout = ExactLayout.of(self.prefixes, rows)
        known, own = (
            np.ascontiguousarray(part)
            for part in (self.pair[:, :, : self.known], self.pair[:, :, self.known :])
        )
        return attend(self.query, known, own, self.layout, self.heads)

    def texts(self):
        at = self.known
        for tokens, near, prefix_of in self.parts:
            for between, prefix in zip(near, prefix_of, strict=True):
                yield [*self.prefixes[prefix], *between], range(at, at + tokens)
                at += tokens

    def expected(self):
        heads, outs = self.heads, []
        keys, values = self.pair.astype(float)
        for before, own in self.texts():
            for place in own:
                seen = [*before, *range(own[0], place + 1)]
                seen = seen[-heads.window :] if heads.window else seen
                query = (
                    self.query[place - self.known]
                    .astype(float)
                    .reshape(heads.keys, -1, heads.width)
                )
                scores = heads.scaling * np.einsum("kgw,knw->kgn", query, keys[:, seen])
                if heads.soft_cap:
                    scores = heads.soft_cap * np.tanh(scores / heads.soft_cap)
                weights = np.exp(scores - scores.max(axis=2, keepdims=True))
                weights /= weights.sum(axis=2, keepdims=True)
                outs.append(np.einsum("kgn,knw->kgw", weights, values[:, seen]).ravel())
        return np.array(outs)


@pytest.mark.parametrize("prefix", [0, 1, 119])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("shape", [(9, 3, 64), (4, 4, 16), (4, 1, 80)])
@pytest.mark.parametrize("tokens", [1, 8, 60])
def test_it_is_attention_in_float64(prefix, rows, shape, tokens):
    heads = Heads(*shape, 0.3)
    batch = Pass(heads, prefix, [range(prefix)], [(tokens, [[]] * rows, [0] * rows)])
    np.testing.assert_allclose(batch.run(), batch.expected(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [1, 7, 16, 40])
@pytest.mark.parametrize("cap", [None, 2.0])
def test_windows_and_soft_caps(window, cap):
    heads = Heads(4, 2, 32, 0.5, window, cap)
    parts = [(30, [[]], [0]), (3, [[1, 2], [3, 4]], [1, 0])]
    batch = Pass(heads, 25, [range(25), [5]], parts)
    np.testing.assert_allclose(batch.run(), batch.expected(), rtol=1e-5, atol=1e-5)


def test_large_scores_do_not_overflow():
    batch = Pass(Heads(3, 3, 16, 0.3), 10, [range(10)], [(4, [[], []], [0, 0])], loud=40)
    np.testing.assert_allclose(batch.run(), batch.expected(), rtol=1e-4, atol=1e-4)


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
    batch = Pass(Heads(9, 3, 16, 0.3), 9, prefixes, parts)
    np.testing.assert_allclose(batch.run(), batch.expected(), rtol=1e-5, atol=1e-5)
    lengths = [len(before) + k for before, own in batch.texts() for k in range(len(own))]
    assert batch.layout.positions.tolist() == lengths
    assert batch.layout.row_of.tolist() == [0] * 3 + [1, 1, 2, 2] + [3] * 4 + [4] * 4 + [5, 6, 7, 7]


@settings(max_examples=40)
@given(st.data())
def test_no_cut_order_neighbour_or_thread_moves_a_bit(data):
    """A text of known places and its own tokens, cut anywhere, beside others, on any threads."""
    heads = Heads(6, 2, 32, 0.4, data.draw(st.sampled_from([None, 9])))
    seen, tokens = data.draw(st.integers(0, 70)), data.draw(st.integers(1, 20))
    whole = Pass(heads, seen, [range(seen)], [(tokens, [[]], [0])])
    expected = whole.run()
    cut = data.draw(st.integers(0, seen))
    copies = data.draw(st.integers(1, 6))
    between = list(range(cut, seen))
    part = Pass(heads, seen, [range(cut)], [(tokens, [between] * copies, [0] * copies)])
    part.query = np.concatenate([whole.query] * copies)
    own = np.concatenate([whole.pair[:, :, seen:]] * copies, axis=2)
    part.pair = np.concatenate([whole.pair[:, :, :seen], own], axis=2)
    before, threads = torch.get_num_threads(), data.draw(st.integers(1, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "THREAD_WORK", 1)
        patch.setattr(attention, "SHARED_TOKENS", data.draw(st.sampled_from([1, 30, 1000])))
        torch.set_num_threads(threads)
        try:
            out = part.run().reshape(copies, tokens, -1)
        finally:
            torch.set_num_threads(before)
    assert all(np.array_equal(own, expected) for own in out)
    # Token by token, each behind those before it.
    for token in range(tokens):
        one = Pass(heads, seen + token, [range(seen + token)], [(1, [[]], [0])])
        one.query, one.pair = whole.query[token : token + 1], whole.pair[:, :, : seen + token + 1]
        assert np.array_equal(one.run()[0], expected[token])


@pytest.mark.parametrize("normed", ["no", "each head", "all heads"])
@pytest.mark.parametrize("turned", [16, 8])
def test_queries_and_keys_are_normed_and_turned(normed, turned):
    rng = np.random.default_rng(0)
    widths = {"each head": (16, 16), "all heads": (64, 32)}.get(normed)
    norms = [None, None]
    if widths:
        norms = [
            Norm(rng.standard_normal(n).astype(np.float32), np.float32(1e-6), np.float32(1))
            for n in widths
        ]
    heads = Heads(4, 2, 16, 1.0, None, None, *norms)
    projected = rng.standard_normal((50, 8 * 16)).astype(np.float32)
    table = turn_table(frequencies({"rope_theta": 1e4}, turned)[0], np.arange(50))
    before = torch.from_numpy(projected.copy()).double()
    own = turn(projected, heads, table)
    cosine, sine = (np.tile(part, 2)[:, None] for part in (table[:, 0], table[:, 1]))
    for found, start, count, norm in (
        (projected[:, :64], 0, 4, norms[0]),
        (own[0].transpose(1, 0, 2), 64, 2, norms[1]),
    ):
        part = before[:, start : start + 16 * count]
        if norm is not None:
            weight = torch.from_numpy(norm.weight).double() + 1
            shaped = part.unflatten(1, (-1, len(weight)))
            part = torch.nn.functional.rms_norm(shaped, (len(weight),), weight, 1e-6).flatten(1)
        part = part.unflatten(1, (count, 16)).numpy()
        rest = part[..., turned:]
        left, right = np.split(part[..., :turned], 2, axis=2)
        flipped = np.concatenate([-right, left], axis=2)
        expected = np.concatenate([part[..., :turned] * cosine + flipped * sine, rest], axis=2)
        np.testing.assert_allclose(found.reshape(50, count, 16), expected, rtol=0, atol=2e-5)
    assert np.array_equal(own[1], before[:, 96:].float().unflatten(1, (2, 16)).transpose(0, 1))
