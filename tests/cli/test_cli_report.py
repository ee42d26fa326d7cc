"""`classify --report`: a page a clip, from whatever process, and an index over them, however the batch ends."""

from __future__ import annotations

import pytest
from html_checks import read_page

from avgn_edge.cli.runner import Job
from avgn_edge.report.html import page_name
from avgn_edge.report.index import INDEX


@pytest.fixture
def twins(media, tmp_path):
    """Two clips of one name in two folders, and one that is none."""
    paths = []
    for folder, source in (("a", "both.mp4"), ("b", "turned.mp4")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "twin.mp4"
        path.write_bytes((media / source).read_bytes())
        paths.append(str(path))
    return [*paths, str(media / "text.mp4")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_clip_has_its_page_and_the_index_leads_to_it(run, bundle, twins, tmp_path, jobs):
    folder = tmp_path / "report"
    done = run("classify", *twins, "-m", bundle, "--json", "--report", folder, "--jobs", jobs)
    plain = run("classify", *twins, "-m", bundle, "--json")
    assert done.code == 1
    assert done.stderr.splitlines()[-1] == f"report: {folder / INDEX}"
    for row, without in zip(done.objects, plain.objects, strict=True):
        assert row.get("label") == without.get("label")
        assert row.get("budget") == without.get("budget")
        assert row.get("error") == without.get("error")
    index = read_page(folder / INDEX)
    assert index.links == [page_name(clip) for clip in twins[:2]]
    assert sorted(path.name for path in folder.iterdir()) == sorted([INDEX, *index.links])
    assert done.objects[2]["error"] in index.text
    for row in done.objects[:2]:
        page = read_page(folder / page_name(row["clip"]))
        assert row["clip"] in page.text
        assert f"{row['label']} {100 * row['score']:.1f} %" in page.text
        assert len(page.all("use")) == row["budget"]["looks"]
        assert (folder / page_name(row["clip"])).stat().st_size < 1_500_000


def test_an_interrupted_batch_leaves_an_index_of_what_is_done(run, bundle, twins, tmp_path, monkeypatch):
    real, calls = Job.classify, []

    def classify(self, recognizer, clip):
        calls.append(clip)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, recognizer, clip)

    monkeypatch.setattr(Job, "classify", classify)
    done = run("classify", *twins, "-m", bundle, "--report", tmp_path / "report", "--jobs", 1)
    assert done.code == 130
    assert read_page(tmp_path / "report" / INDEX).links == [page_name(twins[0])]


def test_a_report_that_cannot_be_is_refused_before_anything_runs(run, bundle, twins, tmp_path):
    (tmp_path / "file").touch()
    done = run("classify", *twins, "-m", bundle, "--report", tmp_path / "file")
    assert (done.code, done.stdout) == (2, "")
    assert done.errors == [f"error: {tmp_path / 'file'}: the folder cannot be made (it is a file): name another folder"]


def test_a_page_that_cannot_be_written_is_that_clip_s_failure(run, bundle, twins, tmp_path):
    folder = tmp_path / "report"
    (folder / page_name(twins[0])).mkdir(parents=True)
    done = run("classify", *twins[:2], "-m", bundle, "--report", folder, "--jobs", 1)
    assert done.code == 1
    assert len(done.errors) == 1
    assert "cannot be written" in done.errors[0]
    assert page_name(twins[1]) in read_page(folder / INDEX).links
