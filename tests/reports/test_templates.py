"""Templates escape all that they print, and name nothing that a page does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import avgn_edge.report
from avgn_edge.report.html import name, render, text

TEMPLATES = sorted((Path(avgn_edge.report.__file__).parent / "templates").iterdir())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_goes_around_the_escaping(path):
    # `~` and these filters escape text that `text` has not seen.
    inside = "".join(re.findall(r"\{[{%].*?[%}]\}", path.read_text(encoding="utf-8"), re.DOTALL))
    assert not re.findall(r"\|\s*(?:safe|e|escape|forceescape|tojson|xmlattr)\b|autoescape|~", inside)


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="rows"):
        render("index.html")


def test_text_is_escaped_once_and_spelled_out():
    assert text("<\u202e\udcff\x00&\n犬\u200d\"'>") == "&lt;\\u202e\\xff\\x00&amp;\\n犬\u200d&#34;&#39;&gt;"
    assert text(name("<b>")) == name("<b>") == '<bdi dir="auto">&lt;b&gt;</bdi>'
