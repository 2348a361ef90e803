"""Sequences of different lengths and minds, read and continued in one pass: each is exact."""

import numpy as np
import pytest
import torch

from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.generation import CANDIDATES, Sampling, write_texts
from evobourse.merge.engine.sequences import SequenceReader, TokenSequence
from evobourse.merge.errors import ModelError

TEXTS = (
    "The auditors have found a hole, and investors",
    "Once upon a time there was a market for one stock. Every morning",
    "Price",
    "Buy low and",
    "The capital of France is Paris. The capital of Italy is",
)


@pytest.fixture(scope="module")
def reader(style_engine):
    return SequenceReader(style_engine.decoder, style_engine.bank)


@pytest.fixture(scope="module")
def tokens(tokenizer):
    return [tokenizer(text, add_special_tokens=False).input_ids for text in TEXTS]


@pytest.fixture(scope="module")
def minds():
    drawn = np.random.default_rng(7).normal(0, 0.6, (len(TEXTS), 1, 3)).astype(np.float32)
    drawn[1] = 0.0
    return list(drawn)


def read_new(reader, pieces, minds):
    sequences = [TokenSequence() for _ in pieces]
    reader.read(sequences, pieces, minds)
    return sequences


@pytest.fixture(scope="module")
def together(reader, tokens, minds):
    """Everything read and continued in one batch: sequences, states behind the prompts, texts."""
    sequences = read_new(reader, tokens, minds)
    states = [sequence.state.clone() for sequence in sequences]
    rngs = [np.random.default_rng(n) for n in range(len(TEXTS))]
    return sequences, states, write_texts(reader, sequences, minds, Sampling(6, 0.9), rngs)


@pytest.mark.parametrize("rows", [[0], [2], [4, 1], [3, 2, 0]])
def test_a_text_is_the_same_alone_and_in_any_batch(reader, tokens, minds, together, rows):
    whole, states, texts = together
    own = [minds[row] for row in rows]
    sequences = read_new(reader, [tokens[row] for row in rows], own)
    for sequence, row in zip(sequences, rows, strict=True):
        assert torch.equal(sequence.state, states[row])
    rngs = [np.random.default_rng(row) for row in rows]
    assert write_texts(reader, sequences, own, Sampling(6, 0.9), rngs) == [texts[n] for n in rows]
    for sequence, row in zip(sequences, rows, strict=True):
        assert torch.equal(sequence.state, whole[row].state)
    assert len({tuple(text) for text in texts}) == len(TEXTS)


def test_batches_of_a_fixed_shape_as_on_a_gpu_give_the_same_texts_alone(
    style_engine, tokens, minds
):
    tiled = SequenceReader(Decoder(style_engine.decoder.model, tile_tokens=16), style_engine.bank)
    sampling = Sampling(3)
    sequences = read_new(tiled, tokens, minds)
    texts = write_texts(tiled, sequences, minds, sampling)
    for row in (1, 3):
        [alone] = read_new(tiled, tokens[row : row + 1], minds[row : row + 1])
        [text] = write_texts(tiled, [alone], minds[row : row + 1], sampling)
        assert text == texts[row]
        assert torch.equal(alone.state, sequences[row].state)


def test_greedy_texts_are_transformers_where_that_is_sure(reader, rounded_model, tokens, tokenizer):
    """The same weights in fp32: a token must agree unless two are nearly as likely there."""
    bare = [np.zeros((1, 3), np.float32)] * 3
    tokens = tokens[::2]
    texts = write_texts(reader, read_new(reader, tokens, bare), bare, Sampling(16))
    sure = 0
    for prompt, text in zip(tokens, texts, strict=True):
        made = rounded_model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=16,
            min_new_tokens=16,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
        expected = made.sequences[0, len(prompt) :].tolist()
        for place, logits in enumerate(made.logits):
            best = logits[0].topk(2).values
            if text[place] != expected[place]:
                assert best[0] - best[1] < 0.3, (prompt, place)
                break  # from here on the texts differ
            sure += 1
    assert sure >= 36


def test_the_likeliest_tokens_are_those_of_the_whole_vocabulary(reader, together):
    _, states, _ = together
    found, logits = reader.decoder.likeliest(torch.stack(states), CANDIDATES)
    for row, state in enumerate(states):
        whole = reader.decoder.option_logits(state[None], range(49_152))[0]
        assert whole.argmax() in found[row]
        assert torch.equal(logits[row], whole[found[row]])
        best = set(whole.topk(CANDIDATES // 2).indices.tolist())
        assert best <= set(found[row].tolist())


def test_tokens_are_drawn_as_often_as_they_are_likely(reader, together):
    draws = 400
    sequences = []
    for _ in range(draws):
        sequence = TokenSequence()
        sequence.state = together[1][0]
        sequences.append(sequence)
    rngs = np.random.default_rng(5).spawn(draws)
    mind = [np.zeros((1, 3), np.float32)] * draws
    texts = write_texts(reader, sequences, mind, Sampling(1, 1.5), rngs)
    tokens, logits = reader.likeliest(sequences[:1], CANDIDATES)
    weights = np.exp(logits[0].astype(float) / 1.5)
    expected = draws * weights / weights.sum()
    counts = np.array([[text[0] for text in texts].count(token) for token in tokens[0]])
    assert counts.sum() == draws
    assert np.sum((counts - expected) ** 2 / expected) < 110  # 63 degrees: p < 0.0003


def test_a_rewound_sequence_goes_on_as_a_fresh_one_and_a_fork_on_its_own(reader, tokens, minds):
    [sequence] = read_new(reader, tokens[1:2], minds[:1])
    mark = len(sequence)
    fork = sequence.fork()
    reader.read([sequence], [tokens[0]], minds[2:3])
    sequence.rewind(mark)
    with pytest.raises(ModelError, match="rewound, and nothing read since"):
        reader.option_logits([sequence], [5])
    reader.read([sequence], [tokens[4]], minds[3:4])
    reader.read([fork], [tokens[4]], minds[3:4])
    assert torch.equal(sequence.state, fork.state)
    reader.read([fork], [tokens[0]], minds[3:4])
    assert len(sequence) == mark + len(tokens[4]) == len(fork) - len(tokens[0])


def test_a_stop_token_ends_a_text_and_is_left_out(reader, tokens, together, minds):
    free = together[2][0]
    sequences = read_new(reader, tokens[:1], minds[:1])
    rngs = [np.random.default_rng(0)]
    [text] = write_texts(reader, sequences, minds[:1], Sampling(6, 0.9, {free[3]}), rngs)
    assert text == free[: free.index(free[3])] != free


def test_an_ask_that_makes_no_sense_is_refused_in_one_line(reader, tokens, minds):
    with pytest.raises(ModelError, match="piece of 0 tokens"):
        reader.read([TokenSequence()], [[]], minds[:1])
    with pytest.raises(ModelError, match="the base has 8192 positions"):
        reader.read([TokenSequence()], [[1] * 8193], minds[:1])
    with pytest.raises(ModelError, match="0 streams for 1 texts"):
        write_texts(reader, read_new(reader, tokens[:1], minds), minds[:1], Sampling(2, 1.0))
    with pytest.raises(ModelError, match="most_tokens 0"):
        Sampling(0)
