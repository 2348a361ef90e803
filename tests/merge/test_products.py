"""A row of a bf16 product has the same bits in every batch, on every processor."""

import subprocess
import sys

SCRIPT = """
import evobourse.merge
import torch

draw = torch.Generator().manual_seed(0)
weight = torch.randn(1536, 576, generator=draw).bfloat16()
rows = torch.randn(1536, 576, generator=draw).bfloat16()
whole = torch.nn.functional.linear(rows, weight)
for count in (2, 3, 8, 16, 17, 33, 64, 100, 255, 512, 1000):
    part = torch.nn.functional.linear(rows[:count], weight)
    print(count, int((part != whole[:count]).sum()))
"""


def test_a_row_has_the_same_bits_in_every_batch():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {line.split()[1] for line in done.stdout.splitlines()} == {"0"}
