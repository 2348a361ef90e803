"""How far adapters agree with their teachers on held-out days, in any encoding.

All encodings are asked about the same views and windows; cards and calibration, in words, are
`experiments.styles.measures`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evobourse.agents.encodings.encoded_minds import EncodedMinds
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.styles import teach
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.evolve.bases.opening import open_model
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.styles.supervised import (
    EXAMPLES,
    Examples,
    draw_examples,
    read_teachers,
    stretches,
)

HELDOUT_VIEWS = 1000


@dataclass(frozen=True)
class Agreement:
    """Exact five-way agreement with the teacher on held-out windows, as parts of 1.

    Attributes
    ----------
    style
        Whose teacher.
    trained, bare
        Of the adapter and of the base without it, both on INT8 weights.
    unseen
        Of the adapter on those views that its training data did not hold; NaN if none.
    views
        Number of held-out views.
    """

    style: str
    trained: float
    bare: float
    unseen: float
    views: int


def heldout_examples(config: ExperimentConfig, count: int, widened: bool) -> Examples:
    """Draw what agreement is measured on, the same for every encoding."""
    return draw_examples(stretches(config, "heldout"), config, count, "held-out agreement", widened)


def measure_agreement(
    config: ExperimentConfig,
    folder: Path,
    count: int = HELDOUT_VIEWS,
    widened: bool | None = None,
) -> list[Agreement]:
    """Compare every style adapter of a folder with its teacher on held-out windows, in INT8.

    ``widened`` as in `experiments.styles.supervised.StylePlan`.
    """
    found = sorted(path.parent for path in folder.glob(f"*/{PROVENANCE}"))
    encoding = Encoding(config.minds.encoding)
    engine = open_model(config.minds.base, found, ()).engine
    minds = EncodedMinds(engine, encoding, found)
    widened = encoding.numeric if widened is None else widened
    drawn, days = heldout_examples(config, count, widened), stretches(config, "train")
    views, windows = drawn.views, drawn.windows
    bare = minds.answer(np.zeros((1, len(found)), np.float32), views, windows).argmax(axis=1)
    rows = []
    for k, path in enumerate(found):
        made = json.loads((path / PROVENANCE).read_text())
        [style] = made["styles"]
        taught = teach(style, views, read_teachers(made))
        mind = np.zeros((1, len(found)), np.float32)
        mind[0, k] = 1.0
        right = minds.answer(mind, views, windows).argmax(axis=1) == taught
        seen = draw_examples(days, config, EXAMPLES, path.name, widened)
        new = ~np.isin(views, seen.views)
        unseen = float(right[new].mean()) if new.any() else float("nan")
        known = float((bare == taught).mean())
        rows.append(Agreement(style, float(right.mean()), known, unseen, len(views)))
    return rows
