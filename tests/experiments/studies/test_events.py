"""Factors on and off: what pairs share, and how an effect is measured."""

import numpy as np
import pytest

from evobourse.experiments.config.scenario import Size
from evobourse.experiments.studies import events
from evobourse.experiments.studies.events import (
    OUTCOMES,
    Factor,
    Settings,
    adjusted_p,
    effect_size,
    list_factors,
    measure_effects,
)
from evobourse.experiments.studies.run import run_study

SMALL = Settings(agents=40, days=20, every=5, tone=6.0)


def test_what_is_the_same_has_no_effect_and_what_is_told_has_one(opened):
    bundle, choices = opened.bundle, opened.table()
    factors = list_factors(bundle, SMALL)
    few = {"": factors[""], "again": factors[""], "bad": factors["bad financial reports"]}
    few["loans"] = factors["loans: half as much cash again"]
    found = measure_effects(few, choices, 3, Size(40, 20, 1))
    assert not found["again"].any()
    assert found["bad"].any()
    assert (found["loans"][:, list(OUTCOMES).index("inequality")] < 0).all()  # all get as much
    assert {values.shape for values in found.values()} == {(3, len(OUTCOMES))}


def test_an_effect_is_in_standard_deviations_of_pairs_and_corrected_for_their_number():
    rng = np.random.default_rng(1)
    clear, none = rng.normal(2.0, 1.0, (40, 2)), rng.normal(0.0, 1.0, (40, 2))
    none -= none.mean(axis=0)
    assert effect_size(clear[:, 0]) == pytest.approx(2.0, abs=0.5)
    assert effect_size(np.zeros(5)) == 0.0
    found = adjusted_p({"clear": clear, "none": none, "nothing": np.zeros((40, 2))})
    assert (found["clear"] < 0.001).all()
    assert (found["none"] == 1).all()
    assert np.isnan(found["nothing"]).all()


def test_the_study_has_a_row_a_factor(opened, tmp_path, monkeypatch, told):
    monkeypatch.setattr(events, "open_population", lambda place: opened)
    page, *_ = run_study(
        "events", ["agents=30", "days=12", "pairs=2", "every=4"], tmp_path / "e.md"
    )
    factors = list_factors(opened.bundle, SMALL)
    assert all(isinstance(factor, Factor) for factor in factors.values())
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0][2:] for row in rows[1:]] == [name for name in factors if name]
    assert len(told()) == (len(factors) - 1) * len(OUTCOMES)
