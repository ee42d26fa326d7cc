"""The site's reference has every public name, once, and its pages lead somewhere and load nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import avgn_edge

ROOT = Path(__file__).parents[2]
LOADS = {"audio", "embed", "iframe", "img", "script", "source", "video"}
"""Elements whose `src` a browser fetches; of a `link` it fetches `href`."""


class Fetched(HTMLParser):
    """The addresses that a browser fetches to show a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in LOADS and found.get("src"):
            self.addresses.append(found["src"])
        if tag == "link" and found.get("href") and found.get("rel") not in {"canonical", "next", "prev"}:
            self.addresses.append(found["href"])


def test_the_reference_has_every_public_name_once():
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")]
    named = [name for page in pages for name in re.findall(r"^::: avgn_edge\.(\w+)$", page, re.MULTILINE)]
    assert sorted(named) == sorted(avgn_edge.__all__)


@pytest.mark.slow
def test_the_site_builds_and_its_pages_load_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        elsewhere = [address for address in parser.addresses if re.match(r"(?:\w+:)?//", address)]
        assert not elsewhere, f"{page.name}: {elsewhere}"
    recognise = (tmp_path / "site" / "reference" / "recognise.html").read_text(encoding="utf-8")
    for title in ("Parameters:", "Returns:", "Raises:"):
        assert title in recognise
