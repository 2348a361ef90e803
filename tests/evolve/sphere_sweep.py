"""A sweep that needs no market: how far gene values are from a hidden optimum.

Knows: a small genome, its evaluator; runs as ``python sphere_sweep.py FOLDER N [tracked]``.
Does not know: anything of pytest.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np

from evolve.genome import Gene, Genome, Segment
from evolve.loop import Evaluation, evolve
from evolve.search import CrossSearch
from evolve.tracking import MlflowTracker, View

SEED = 7


def make_genome() -> Genome:
    return Genome(
        (
            Segment("recipe", tuple(Gene(f"w{i}", -1.0, 2.0, 0.0) for i in range(3))),
            Segment("minds", (Gene("spread", 0.01, 10.0, 1.0, "log"), Gene("mean", -2, 2, 0.5))),
            Segment("society", tuple(Gene(f"p{i}", 0.0, 1.0, 0.5) for i in range(4))),
        )
    )


def make_search(genome: Genome, slow: int = 4, fast: int = 5, seed: int = SEED, **kwargs):
    return CrossSearch(
        genome,
        ("recipe", "minds"),
        ("society",),
        slow,
        fast,
        0.6,
        0.6,
        np.random.SeedSequence(seed),
        **kwargs,
    )


class SphereEvaluator:
    """Squared distance in the normalised space, with noise from the seed, and some failures."""

    def __init__(self, genome: Genome, sleep_s: float = 0.0, fail_every: int = 0, noise=0.01):
        self.genome, self.sleep_s, self.fail_every, self.noise = genome, sleep_s, fail_every, noise

    def evaluate(self, generation, genomes, seed, on_progress):
        rng = np.random.default_rng(seed)
        total, done, rows = sum(map(len, genomes)), 0, []
        for row in genomes:
            rows.append([])
            for values in row:
                time.sleep(self.sleep_s)
                vector = self.genome.to_vector(values)
                score = float(np.sum((vector - 0.8) ** 2) * math.exp(self.noise * rng.normal()))
                done += 1
                failed = self.fail_every and done % self.fail_every == 0
                rows[-1].append(
                    Evaluation(
                        score=math.inf if failed else score,
                        parts={} if failed else {"distance": score, "tail index (hill)": math.nan},
                        recipe={"base": "toy", "weights": list(values["recipe"].values())},
                        seeds=(int(seed.generate_state(1)[0]),),
                        failure="toy failure" if failed else None,
                    )
                )
                on_progress(done, total)
        return rows


def run(folder: Path, generations: int, sleep_s: float = 0.0, fail_every: int = 6, **kwargs):
    genome = make_genome()
    evaluator = SphereEvaluator(genome, sleep_s, fail_every)
    return evolve(folder, genome, make_search(genome), evaluator, generations, SEED, **kwargs)


if __name__ == "__main__":
    tracked = sys.argv[3:] == ["tracked"]
    tracker = MlflowTracker(View.of(Path(sys.argv[1]))) if tracked else None
    run(Path(sys.argv[1]), int(sys.argv[2]), sleep_s=0.05 if tracked else 0.002)
    if tracker is not None:
        sys.exit(tracker.close())
