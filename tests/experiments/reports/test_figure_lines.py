import json

import numpy as np

from evobourse.experiments.reports.figure_lines import Report


def test_a_figure_is_one_json_line_and_all_else_stands_on_the_other_stream(capsys):
    report = Report("power", "evobourse study power")
    with report.steps("scoring", 2) as step:
        step()
        report.say(f"at {'length' * 30}")
        report.figure("share", 2.0, "1/s", "peer", 4.0)
        report.figure("gain", np.float32(0.5), "1", low=np.float32(0.25))
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == (
        '{"bench": "power", "figure": "share", "value": 2.0, "unit": "1/s", "peer": "peer", '
        '"ratio": 4.0}'
    )
    gain = json.loads(lines[1])
    assert (gain["value"], gain["low"], gain["peer"], gain["ratio"]) == (0.5, 0.25, None, None)
    assert len(lines) == 2
    assert "length" * 30 in said.err
