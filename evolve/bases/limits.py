"""What bases may use to answer: devices, a memo, servers, memory; light to import.

No answer depends on these settings, but for the weights' precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evobourse.agents.minds.completions import EndpointLimits

if TYPE_CHECKING:
    from evobourse.merge.engine.placement import Storage


@dataclass(frozen=True)
class BaseLimits:
    """What bases may use.

    Attributes
    ----------
    storage
        Devices and precision of a model's weights; None: ours on the processor.
    memo
        File of answers kept between runs. None keeps a model's in memory alone, and a server's,
        which may be paid for, in ``answers.sqlite`` in the cache folder.
    limits
        How hard a server may be driven; all servers share the spending cap.
    kv_budget_bytes
        See `agents.minds.engine.MindEngine`, for each model; nothing to a server.
    memory_bytes
        See `evolve.bases.base_pool.BasePool`.
    """

    storage: Storage | None = None
    memo: Path | None = None
    limits: EndpointLimits = field(default_factory=EndpointLimits)
    kv_budget_bytes: int | None = None
    memory_bytes: int | None = None
