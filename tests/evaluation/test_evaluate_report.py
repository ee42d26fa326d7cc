"""`evaluate --report`: a page over the budgets, and pages of the clips that went wrong."""

from __future__ import annotations

import json

import pytest
from evaluation_makers import fake_recognizer
from html_checks import read_page

pytest.importorskip("sklearn", reason="scikit-learn comes with the evaluate extra")

from avgn_edge.cli.main import main
from avgn_edge.data.evaluation.row import Row
from avgn_edge.report.evaluation_page import EVALUATION
from avgn_edge.report.html import percent
from avgn_edge.runtime.recognizer import Recognizer


@pytest.fixture
def run(capfd, monkeypatch):
    monkeypatch.setattr(Recognizer, "open", lambda *_, **__: fake_recognizer())

    def command(*arguments):
        capfd.readouterr()
        code = main(["evaluate", *map(str, arguments)])
        return code, *capfd.readouterr()

    return command


def test_the_page_has_the_rows_and_leads_to_what_went_wrong(run, csv_set, tmp_path):
    folder = tmp_path / "report"
    table = csv_set(["dog", "rain", "violin"])
    code, out, err = run("--data", table, "-b", "100mflops", "-b", "none", "--report", folder, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err.splitlines()) == (0, [f"report: {folder / EVALUATION}"])
    page = read_page(folder / EVALUATION)
    for number, row in enumerate(rows, 1):
        assert set(row) == set(Row.__dataclass_fields__)
        words = "no budget" if row["budget"] == "none" else row["budget"]
        assert f"{number}. {words}: {percent(row['top1'])} top-1 at {row['mean_gflops']:.3f} GFLOPs" in page.text
    wrong = round(3 * (1 - rows[1]["top1"]))
    assert len(page.links) == wrong > 0
    assert {path.name for path in folder.iterdir()} == {EVALUATION, *page.links}
    for link in page.links:
        clip = read_page(folder / link)
        assert clip.links == [EVALUATION]
        assert "the evaluation's answer was" in clip.text


def test_the_number_of_pages_is_asked_for(run, csv_set, tmp_path):
    code, _, _ = run("--data", csv_set(["dog", "rain", "violin"]), "--report", tmp_path / "none", "--worst", 0)
    assert (code, [path.name for path in (tmp_path / "none").iterdir()]) == (0, [EVALUATION])


def test_a_folder_that_cannot_be_made_is_told_before_any_work(run, csv_set, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = run("--data", csv_set(["dog"]), "--report", tmp_path / "file")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'file'}: ")
