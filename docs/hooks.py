"""What the site is made of besides the pages in this folder.

The pages at the repository's root, so that each of them is written once; and in the reference, what public classes
are made of but is not public itself: `::: part Timing of Result` is the class `Timing` that `avgn_edge.Result` is
annotated with, wherever in the package it is.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import griffe
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""What a file at the root is called in the site."""
PART = re.compile(r"^::: part (?P<part>\w+) of (?P<whole>\w+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the root; their links lead into docs/, where the site begins."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Say where each part is, and set it below the heading over the parts."""
    return PART.sub(
        lambda found: f"::: {_where(found['part'], found['whole'])}\n    options: {{ heading_level: 3 }}", markdown
    )


def _where(part: str, whole: str) -> str:
    """The path of `part` as the module of the public class `whole` knows it."""
    return _final(_final(_package()[whole]).module[part]).path


def _final(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if isinstance(found, griffe.Alias) else found


@cache
def _package() -> griffe.Object | griffe.Alias:
    return griffe.load("avgn_edge", search_paths=[ROOT], allow_inspection=False)
