"""A study's page as one file: tables can be downloaded, pictures are inside, text stays text."""

import base64
import io
import re

import pandas as pd

from evobourse.experiments.reports.figures import figure_bytes, new_figure
from evobourse.experiments.reports.markdown_page import render_markdown

PAGE = """# What *it* does

Written by `evobourse study it`; <script>alert(1)</script> do not edit.

## Some figures

| market | score [95 %] | kind |
|---|---|---|
| a & b | 1.5 [1.2, 1.9] | real |
| c | - | 4th |

Then words.

![drawn](own.png)

![elsewhere](../secret.png) [link](javascript:alert(1))

### Smaller

- one
"""


def test_a_page_is_one_file(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    picture = figure_bytes(new_figure(1, 1))
    (folder / "own.png").write_bytes(picture)
    (tmp_path / "secret.png").write_bytes(picture + b"secret")
    (folder / "it.md").write_text(PAGE)
    page = render_markdown(folder / "it.md")
    assert "<h1>What it does</h1>" in page
    assert re.findall(r'<section id="([\w-]+)">', page) == ["about", "part-1"]
    [data] = re.findall(r'download="table-1-1.csv" href="data:text/csv;base64,([^"]+)"', page)
    table = pd.read_csv(io.BytesIO(base64.b64decode(data)))
    assert table.to_dict("list") == {
        "market": ["a & b", "c"], "score [95 %]": ["1.5 [1.2, 1.9]", "-"], "kind": ["real", "4th"]
    }  # fmt: skip
    assert '<th class="number">score [95 %]</th>' in page
    assert "<th>kind</th>" in page
    assert page.index("</table>") < page.index("Then words.") < page.index("<h3>Smaller</h3>")
    assert base64.b64encode(picture).decode() in page
    assert "[picture ../secret.png]" in page
    assert "<script>alert" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
