"""Reads a page strictly: every element closed, nothing from outside, and what people without eyes or mice need."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input"}
INLINE = {"bdi", "small", "sup", "a", "b", "i", "span"}
LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}


class Page(HTMLParser):
    """A parsed page; AssertionError for what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        assert text.startswith("<!DOCTYPE html>\n")
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"
        self._check()

    def handle_starttag(self, tag, attrs):
        self._add(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open or tag in VOID, f"<{tag}/> outside of SVG"
        self._add(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()
        if tag not in INLINE:
            self.words.append(" ")

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(inside, self.words).append(data)

    def _add(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {tag} {names}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    @property
    def text(self):
        """What it says, spaces squeezed."""
        return " ".join("".join(self.words).split())

    @property
    def links(self):
        """What can be clicked on."""
        return [found["href"] for tag, found in self.elements if tag == "a"]

    def all(self, tag, **wanted):
        """The elements of a kind."""
        return [
            found for name, found in self.elements if name == tag and all(found.get(k) == v for k, v in wanted.items())
        ]

    def _check(self):
        ids = [found["id"] for _, found in self.elements if "id" in found]
        assert len(ids) == len(set(ids))
        for tag, found in self.elements:
            assert tag not in {"link", "iframe", "object", "embed", "base", "form", "audio", "video"}, tag
            assert not any(name.startswith("on") for name in found), found
            assert not set(found) & (LOADING - {"src"}), found
            assert found.get("src", "data:").startswith("data:"), found["src"][:80]
            target = found.get("href", "#")
            if tag == "a":
                assert re.fullmatch(r"[A-Za-z0-9_%.-]+\.html", target), target
            elif target.startswith("#"):
                assert target == "#" or target[1:] in ids
            else:
                assert target.startswith("data:image/"), target[:80]
            assert "url(" not in found.get("style", "")
            if tag == "img":
                assert "alt" in found
            if tag == "svg" or found.get("role") == "img":
                assert found.get("aria-label") or found.get("aria-hidden") == "true", found
            if tag == "th":
                assert found.get("scope") in {"row", "col"}
        assert len(self.all("caption")) == len(self.all("table"))
        assert len(self.all("h1")) == len(self.all("main")) == 1
        assert self.all("html")[0]["lang"]
        assert "width=device-width" in self.all("meta", name="viewport")[0]["content"]
        css = "".join(self.styles)
        assert css.count("{") == css.count("}")
        assert "prefers-color-scheme:dark" in css
        assert "@media print" in css
        assert "url(" not in css
        assert "@import" not in css


def read_page(path):
    """A page from a file, whole and checked."""
    text = path.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    return Page(text)
