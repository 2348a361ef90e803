"""The verdict in one sentence: every number in it is one of the rows'."""

from evobourse.experiments.reports.verdict import verdict


def row(name, split, score, low=None, high=None, asset="sp500", **more):
    return {
        "name": name, "asset": asset, "split": split, "score": score, "ci_low": low,
        "ci_high": high, "p_value": 0.01, "p_holm": 0.01, **more,
    }  # fmt: skip


ROWS = [
    row("evolved", "train", 2.0, 1.5, 2.5),
    row("evolved", "validation", 4.0, 3.5, 4.5),
    row(
        "evolved", "heldout", 3.0, 2.5, 3.5, skill=1.25, worst="drift -4.1 sd", ends_lower=1.0,
        volume_volatility=-0.31,
    ),
    row("unevolved", "heldout", 9.0, 8.0, 10.0, log_ratio=[-1.1, -1.3, -0.9]),
    row("garch_t", "heldout", 1.2, 1.0, 1.4, log_ratio=[0.9, 0.5, 1.2]),
    row("gbm", "heldout", 2.9, 2.8, 3.0, log_ratio=[0.03, -0.1, 0.2]),
    row("random_tendencies", "heldout", None, log_ratio=[None, None, None]),
    row("bootstrap_target", "heldout", 0.4, 0.3, 0.5, ends_lower=0.03, volume_volatility=0.25),
]  # fmt: skip


def test_it_names_scores_side_by_side_what_is_beaten_and_what_is_not():
    assert verdict(ROWS) == (
        "The evolved market scores 2.00 on training years, 4.00 on validation years and "
        "3.00 [2.50, 3.50] on held-out years (rejected at 5 % as a real market; farthest off in "
        "drift -4.1 sd; skill 1.25, real training days are 1); it beats before evolution (9.00) "
        "and random tendencies (inf); it loses to GARCH-t (1.20); it is not told from random walk "
        "(2.90); 100% of its held-out paths end lower (real days 3%); its volume correlates with "
        "the size of moves by -0.31 (real days +0.25)."
    )


def test_it_says_how_the_market_stands_given_real_pasts():
    known = {"conditional": 1.3, "conditional_skill": 1.234, "conditional_p": 0.0312}
    told = [*ROWS[:2], {**ROWS[2], **known, "conditional_verdict": "worse"}]
    assert verdict(told).endswith(
        "; given real pasts its energy score is 1.23 times that of GARCH-t (worse, p 0.031)."
    )
    few = {**known, "conditional_p": None, "conditional_verdict": "8 quarters: it cannot be told"}
    assert verdict([{**ROWS[2], **few}]).endswith("GARCH-t (8 quarters: it cannot be told).")
    broken = {**known, "conditional_skill": None, "conditional_verdict": "degenerate paths"}
    assert "given real pasts" not in verdict([{**ROWS[2], **broken}])


def test_rows_of_runs_before_there_were_ratios_are_told_by_their_intervals():
    known = ("name", "asset", "split", "score", "ci_low", "ci_high", "p_holm")
    old = [{key: one[key] for key in known} for one in ROWS]
    said = verdict(old)
    assert "it beats before evolution (9.00) and random tendencies (inf);" in said
    assert said.endswith("it is not told from random walk (2.90).")


def test_several_assets_are_told_by_the_pooled_rows():
    pooled = [row("evolved", "heldout", 5.0, 4.0, 6.0, "pooled", skill=2.0)]
    assert "scores 5.00 [4.00, 6.00] on held-out years" in verdict(ROWS + pooled)


def test_nothing_is_said_before_the_held_out_years_were_read():
    assert verdict(ROWS[:2]) == verdict([]) == ""
