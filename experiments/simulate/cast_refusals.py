"""What a cast's members, accounts and assets cannot be together, refused in one line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.cast import Cast
from evobourse.experiments.config.scenario import Scenario
from evobourse.experiments.errors import ConfigError
from evobourse.market.instruments import Instrument


def refuse_open_interest(instruments: Sequence[Instrument], position: NDArray[np.int64]) -> None:
    """Refuse futures whose long and short positions differ, int64[n, A].

    Raises
    ------
    ConfigError
        They do.
    """
    for asset, terms in enumerate(instruments):
        together = int(position[:, asset].sum())
        if terms.kind == "future" and together:
            raise ConfigError(
                f"cast: accounts hold {together:+} lots of {terms.name!r} together, expected 0: "
                "every long position in a future has a short one; change account.lots"
            )


def refuse_pairs(scenario: Scenario, cast: Cast, bundle: Bundle) -> None:
    """Refuse what members, assets and the scenario's way of deciding cannot do together.

    Raises
    ------
    ConfigError
        Two of them do not combine.
    """
    kinds = {}
    for asset in cast.assets:
        terms = asset.terms.over(scenario.stock)
        scenario.refuse_futures(f"asset {asset.name!r}", terms)
        kinds[asset.name] = terms.kind
    names = [asset.name for asset in cast.assets]
    deciding = "deliberation" if scenario.deliberation else "named_numbers"
    for member in cast.members:
        spoken_for = [names[row] for row in cast.rows(member)]
        if member.kind in ("company", "industry"):
            for name in spoken_for:
                if kinds[name] == "future":
                    raise ConfigError(
                        f"cast: {member.name!r} is a {member.kind} that speaks for {name!r}, a "
                        "future, which nobody issues; give it assets that are equities"
                    )
        account = member.account
        if account and account.lots < 0 and kinds[spoken_for[0]] != "future":
            raise ConfigError(
                f"cast: {member.name!r} has account.lots {account.lots} of {spoken_for[0]!r}, "
                "expected 0 or more of an equity"
            )
        elsewhere = member.kind != "rule" and member.base not in (None, bundle.base)
        if elsewhere and (scenario.deliberation or scenario.named_numbers):
            raise ConfigError(
                f"cast: {member.name!r} has base {member.base!r}, and {deciding} needs all "
                f"members on the bundle's own; leave out base, or {deciding}"
            )
    settings = scenario.deliberation
    investors = [member.name for member in cast.members if member.kind == "investor"]
    if settings and (strange := sorted(set(settings.personas) - set(investors))):
        raise ConfigError(
            f"deliberation.personas: {strange[0]!r} is no investor of the cast, expected of "
            f"{', '.join(investors)}"
        )
