"""Whether a row's answer is the same bits alone and in any batch, on this base and this device.

Rows of random tokens are run to find out: a memo of answers is exact only where this holds.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.errors import ModelError

_LENGTHS = (1, 9)
_BATCHES = (1, 2, 7, 33)
_LAYERS = 2  # all have the same shapes


def check_batches(model: PreTrainedModel) -> None:
    """Refuse a base whose answers depend on who else is in the batch.

    Our own layers on a processor are exact by their arithmetic and are let through without a run.

    Raises
    ------
    ModelError
        They do.
    """
    decoder = Decoder(model)
    if decoder.exact:
        return
    if length := varying_length(decoder):
        raise ModelError(
            f"base: with {decoder.engine} on {decoder.machine} a prompt of {length} private tokens "
            "gets other bits alone than in a batch, and remembered answers would not be exact; "
            "set minds.quantizer: groups and minds.compiled: false"
        )


@torch.inference_mode()
def varying_length(decoder: Decoder, lengths: tuple[int, ...] = _LENGTHS) -> int | None:
    """Return the shortest tried length of private parts whose rows vary with the batch, or None.

    Rows of random tokens behind a random prefix go through the first layers alone and in batches
    of several sizes, at their beginning and at their end.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary, last = decoder.model.config.vocab_size, min(_LAYERS, decoder.depth)

    def embed(rows: int, tokens: int) -> torch.Tensor:
        drawn = torch.randint(vocabulary, (rows, tokens), generator=generator)
        return decoder.embed(drawn.tolist())

    def run(rows: torch.Tensor) -> torch.Tensor:
        return decoder.run(rows, 0, last, prefix)[0]

    _, prefix = decoder.run(embed(1, 40), 0, last)
    for length in lengths:
        rows = embed(max(_BATCHES), length)
        whole = run(rows)
        for size in _BATCHES:
            for part in (slice(size), slice(-size, None)):
                if not torch.equal(run(rows[part]), whole[part]):
                    return length
    return None
