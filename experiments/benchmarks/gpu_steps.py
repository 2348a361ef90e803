"""Steps on a GPU: captured as a graph, and batches halved until they fit."""

from __future__ import annotations

from collections.abc import Callable

import torch


class StepGraph:
    """A step captured once for its shapes, replayed on copies of what it is given."""

    def __init__(self, step: Callable[..., torch.Tensor], *examples: torch.Tensor):
        self.inputs = [example.clone() for example in examples]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # as torch asks for before a capture
            step(*self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = step(*self.inputs)

    @torch.inference_mode()
    def __call__(self, *given: torch.Tensor) -> torch.Tensor:
        """Carry the step out on tensors of the examples' shapes."""
        for held, value in zip(self.inputs, given, strict=True):
            held.copy_(value)
        self.graph.replay()
        return self.output.clone()


def halve_until_it_fits(run: Callable[[int], None], rows: int) -> tuple[int, int]:
    """Run with fewer and fewer rows; return how many fit, and how often they were halved."""
    halvings = 0
    while True:
        try:
            run(rows)
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        else:
            return rows, halvings
        # Outside the handler, which would hold the failed run's tensors.
        rows, halvings = rows // 2, halvings + 1
        torch.cuda.empty_cache()
