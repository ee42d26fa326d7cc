"""The index over many pages: made of the pages themselves, whoever wrote them and whatever ended that."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path

import pytest
from html_checks import read_page
from media_makers import VideoSpec, write_media

from avgn_edge._base.atomic import make_folder, write_text
from avgn_edge._base.errors import AvgnEdgeError, ClipError
from avgn_edge.report.html import page_name
from avgn_edge.report.index import INDEX, MOST_THUMBNAILS, IndexRow, classify_and_report, index_page, write_index
from avgn_edge.runtime.options import Options

HOSTILE = 'a<b onclick="x">\udcff\u202e.mp4'


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_media(tmp_path_factory.mktemp("one") / "a clip.mp4", VideoSpec())


def test_a_clip_s_page_is_written_and_listed(recognizer, clip, tmp_path):
    result = classify_and_report(recognizer, str(clip), tmp_path, Options.of(top=1))
    again = recognizer.classify(str(clip), "none", top=1)
    assert (result.label, result.budget, len(result.top)) == (again.label, again.budget, 1)
    index = read_page(write_index(tmp_path, [("bad.mp4", "bad.mp4: it is <bad>: mend it")]))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([INDEX, page_name(str(clip))])
    assert index.links == [page_name(str(clip))]
    for told in ("a clip.mp4", result.label, f"{result.budget.spent_gflops:.3f}", "it is <bad>: mend it", "Failed 1"):
        assert told in index.text
    page = read_page(tmp_path / index.links[0])
    assert page.links == [INDEX]


def test_an_index_has_what_earlier_runs_wrote_and_drops_what_is_gone(recognizer, clip, tmp_path):
    other = clip.with_name("other.mp4")
    other.write_bytes(clip.read_bytes())
    classify_and_report(recognizer, str(clip), tmp_path, Options())
    write_index(tmp_path)
    classify_and_report(recognizer, str(other), tmp_path, Options())
    assert set(read_page(write_index(tmp_path)).links) == {page_name(str(clip)), page_name(str(other))}
    (tmp_path / page_name(str(clip))).unlink()
    assert read_page(write_index(tmp_path)).links == [page_name(str(other))]


def test_pages_that_are_none_of_ours_or_cut_off_are_left_out(recognizer, clip, tmp_path):
    classify_and_report(recognizer, str(clip), tmp_path, Options())
    text = (tmp_path / page_name(str(clip))).read_text(encoding="utf-8")
    (tmp_path / "cut.html").write_text(text[:300])
    (tmp_path / "mine.html").write_text("<p>hello")
    (tmp_path / "odd.html").write_text('<meta name="avgn-edge-row" content="{&quot;clip&quot;: 3}">')
    (tmp_path / "no.html").write_text('<meta name="avgn-edge-row" content="nothing">')
    (tmp_path / "deep.html").write_text(f'<meta name="avgn-edge-row" content="{"[" * 100_000}">')
    row = json.loads(IndexRow("a.mp4", "a-0.html").to_json())
    for wrong in ({"label": 5}, {"thumbnail": [1]}, {"gflops": 10**400}, {"duration_s": float("inf")}):
        held = html.escape(json.dumps(row | wrong))
        (tmp_path / f"{next(iter(wrong))}.html").write_text(f'<meta name="avgn-edge-row" content="{held}">')
    assert read_page(write_index(tmp_path)).links == [page_name(str(clip))]


def test_hostile_rows_stay_text(tmp_path):
    picture = 'data:image/jpeg;base64,AA" onerror="y'
    row = IndexRow(HOSTILE, page_name(HOSTILE), label="</td><script>", score=0.5, thumbnail=picture)
    write_text(tmp_path / "i.html", index_page([row]))
    page = read_page(tmp_path / "i.html")
    assert len(page.scripts) == 1
    assert "</td><script>" in page.text
    assert "\\u202e" in page.text


def test_only_the_index_s_own_script_may_run():
    text = index_page([IndexRow("a.mp4", "a-0.html")])
    policy = re.search(r'content="(default-src[^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_thousands_of_clips_have_no_thumbnails():
    picture = "data:image/jpeg;base64,AAAA"
    few = [IndexRow(f"{at}.mp4", f"{at}-0.html", thumbnail=picture) for at in range(3)]
    many = [IndexRow(f"{at}.mp4", f"{at}-0.html", thumbnail=picture) for at in range(MOST_THUMBNAILS + 1)]
    assert picture in index_page(few)
    assert picture not in index_page(many)


def test_page_names_are_safe_stable_and_of_one_clip_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        page_name(name)
        for name in (
            "a/x.mp4",
            "b/x.mp4",
            "../x.mp4",
            "x.avi",
            "con.mp4",
            ".hidden",
            "犬.mp4",
            HOSTILE,
            "y" * 250,
            "X.mp4",
        )
    ]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}\.html", name) for name in names)
    assert page_name("a/x.mp4") == page_name(str(tmp_path / "a" / "x.mp4")) == page_name("./a/../a/x.mp4")
    assert page_name("x.mp4") != page_name("x.mp4", 1.0, 2.0)


@pytest.mark.skipif(os.name == "nt", reason="paths begin otherwise")
def test_a_page_s_name_is_the_same_for_ever():
    assert page_name("/clips/a dog.mp4") == "a-dog-67ea0af113a2.html"


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.html"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(AvgnEdgeError, match="cannot be written"):
        write_text(tmp_path / "nowhere" / "a.html", "new")


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    make_folder(tmp_path / "deep" / "er")
    assert (tmp_path / "deep" / "er").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(AvgnEdgeError, match="it is a file"):
        make_folder(tmp_path / "file")


def test_a_clip_without_an_answer_has_no_page(recognizer, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    folder = tmp_path / "report"
    make_folder(folder)
    with pytest.raises(ClipError):
        classify_and_report(recognizer, str(tmp_path / "text.mp4"), folder, Options())
    assert list(Path(folder).iterdir()) == []
