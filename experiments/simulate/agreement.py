"""A bundle's stored answers against its models, asked again: how far each persona's differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evobourse.agents.minds.choices import cumulate, lean
from evobourse.agents.minds.stand_ins import minds_of
from evobourse.agents.observation import possible_views, view_words
from evobourse.evolve.bases.protocol import ServedMinds
from evobourse.evolve.bundle import Bundle, load_bundle
from evobourse.evolve.errors import RunError

MOST_MEAN, MOST_WORST = 0.02, 0.2
"""Total variation of choices, on average and on one view, up to which another arithmetic explains a
difference: three times the most seen between instruction sets (docs/decisions/108)."""


@dataclass(frozen=True)
class PersonaAgreement:
    """How far a persona's answers are from those stored.

    Attributes
    ----------
    persona
        Its name.
    logits
        Largest difference of a logit.
    mean, worst
        Total variation distance of its choices, over all views and on one.
    view
        What is seen on the worst view.
    """

    persona: str
    logits: float
    mean: float
    worst: float
    view: str


@dataclass(frozen=True)
class Agreement:
    """How far a population's answers are from those stored.

    Attributes
    ----------
    personas
        Of each.
    stored, here
        The arithmetic of both, what scopes say beside weights and minds.
    """

    personas: tuple[PersonaAgreement, ...]
    stored: dict[str, Any]
    here: dict[str, Any]

    @property
    def worst(self) -> PersonaAgreement:
        """The persona that differs most."""
        return max(self.personas, key=lambda one: (one.worst, one.logits))

    @property
    def explained(self) -> bool:
        """Whether the arithmetic explains it: the same one gives the same bits."""
        if self.stored == self.here:
            return self.worst.logits == 0
        most_mean = max(one.mean for one in self.personas)
        return most_mean <= MOST_MEAN and self.worst.worst <= MOST_WORST

    def tell(self) -> str:
        """Say it in words."""
        worst, minds = self.worst, len(self.personas)
        if worst.logits == 0:
            return f"asked again: all answers of {minds} personas are the same bits"
        changed = [key for key in self.stored if self.stored[key] != self.here.get(key)]
        why = f"the arithmetic is another: {', '.join(changed)}" if changed else "on one arithmetic"
        mean = max(one.mean for one in self.personas)
        return (
            f"asked again: choices differ by at most {worst.worst:.4f} in total variation "
            f"({worst.persona}, seeing {worst.view}), by {mean:.4f} on a persona's average view; "
            f"{why}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "explained": self.explained}


def ask_again(folder: Path) -> Agreement:
    """Open a bundle's models, and compare their answers with those that it carries.

    Raises
    ------
    RunError
        The bundle is malformed, carries no answers, or its base has other weights.
    """
    bundle = load_bundle(folder)
    return compare_answers(bundle, bundle.live_bases().serve(bundle.recipe))


def compare_answers(bundle: Bundle, minds: ServedMinds) -> Agreement:
    """Ask a bundle's minds again for all that it carries answers to.

    Parameters
    ----------
    bundle
        With its answers.
    minds
        Its own, live.

    Raises
    ------
    RunError
        It carries none, or some of a mind that it does not have.
    """
    answers, views = bundle.answers, possible_views(bundle.population.society.attention)
    if answers is None:
        raise RunError(
            f"bundle {bundle.name!r}: carries no answers to compare with; export it again: remove "
            "the run's scoreboard.json and evobourse resume RUN"
        )
    found = []
    for persona in bundle.population.personas:
        stored = answers.find(persona.base, persona.mind, views)
        if stored is None:
            raise RunError(
                f"bundle {bundle.name!r}: its answers are not those of persona {persona.name!r}"
            )
        both = np.stack([stored, minds_of(minds, persona).answer(persona.mind, views)])
        logits = both.astype(np.float64)
        choices = cumulate(logits, lean(logits), np.full(2, persona.temperature))
        chances = np.diff(choices, axis=2, prepend=0.0)
        apart = np.abs(chances[0] - chances[1]).sum(axis=1) / 2
        at = int(apart.argmax())
        found.append(
            PersonaAgreement(
                persona.name,
                float(np.abs(logits[0] - logits[1]).max()),
                float(apart.mean()),
                float(apart[at]),
                ", ".join(view_words(int(views[at]))) or "nothing",
            )
        )
    return Agreement(tuple(found), _arithmetic(answers.scopes[""]), _arithmetic(minds.scope(None)))


def _arithmetic(scope: Any) -> dict[str, Any]:
    return {key: scope[key] for key in scope if key not in ("base", "adapters", "mind")}
