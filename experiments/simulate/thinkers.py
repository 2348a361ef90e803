"""Opening what a deliberate population thinks with: its own base, and the expert."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evobourse.agents.deliberation.settings import Deliberation
from evobourse.agents.deliberation.thinking import Thinker
from evobourse.agents.deliberation.writer import BatchWriter
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.engine import engine_of
from evobourse.agents.observation import possible_views
from evobourse.evolve.bases.opening import open_model
from evobourse.evolve.bundle import Bundle


def open_thinker(
    settings: Deliberation,
    bundle: Bundle,
    minds: object,
    on_stage: Callable[[str], None] | None = None,
) -> Thinker:
    """Make a thinker for a bundle's population.

    Parameters
    ----------
    settings
        The scenario's.
    bundle
        Names the styles among which an expert can be chosen.
    minds
        What the bundle's bases serve.
    on_stage
        Called with the name of each stage.

    Raises
    ------
    AgentError
        The bundle's minds are at a server or on several bases, or the expert is none of its styles.
    merge.errors.MergeError
        The expert's base cannot be opened.
    """
    engine = engine_of(minds, "deliberation")
    expert = settings.expert
    names = [folder.name for folder in bundle.adapters]
    if expert.style is not None and expert.style not in names:
        raise AgentError(
            f"deliberation.expert.style: {expert.style!r} is no style of the bundle, expected of "
            f"{', '.join(names) or 'none'}"
        )
    writer = advisers = BatchWriter(engine)
    mixture = np.array([[float(name == expert.style) for name in names]], np.float32)
    mind = np.repeat(mixture, bundle.blocks, axis=0)
    if expert.base is not None:
        opened = open_model(expert.base, (), ())
        advisers, mind = BatchWriter(opened.engine), np.zeros((1, 0), np.float32)
    views = possible_views(bundle.population.society.attention)
    return Thinker(writer, advisers, mind, settings, views, on_stage or (lambda stage: None))
