"""`avgn-edge evaluate`: the forms of data sets, the table, JSON, exit codes, and what is refused before any work."""

from __future__ import annotations

import json
import sys
from dataclasses import fields

import pytest
from evaluation_makers import a_row, fake_recognizer, write_truth

pytest.importorskip("sklearn", reason="scikit-learn comes with the evaluate extra")
pytest.importorskip("matplotlib", reason="matplotlib comes with the evaluate extra")

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.reader import packaged_bundle_path
from avgn_edge.cli.evaluate import as_text, requests
from avgn_edge.cli.main import main
from avgn_edge.data.evaluation.row import Row
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer


@pytest.fixture
def run(capfd):
    """Run `avgn-edge evaluate` with these arguments: exit code, stdout, stderr."""

    def command(*arguments):
        capfd.readouterr()
        code = main(["evaluate", *map(str, arguments)])
        return code, *capfd.readouterr()

    return command


@pytest.fixture
def opened(monkeypatch):
    """Let every bundle be the fake one; how it was opened."""
    asked = []

    def fake_open(*arguments, **named):
        asked.append((arguments, named))
        return fake_recognizer()

    monkeypatch.setattr(Recognizer, "open", fake_open)
    return asked


@pytest.mark.usefixtures("opened")
def test_json_is_one_object_a_budget(run, csv_set):
    table = csv_set(["dog", "rain"])
    code, out, err = run("--data", table, "-b", "none", "-b", "100MFLOPS", "-b", "90s", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row["budget"] for row in told] == ["none", "100mflops", "90s"]
    for row in told:
        assert set(row) == {field.name for field in fields(Row)}
        assert sum(row["exits"].values()) == row["clips"] == 2
        assert (row["device"], row["precision"]) == ("fake", "fp32")
        assert row["when"] is None
    assert told[1]["p95_gflops"] <= 0.1 < told[0]["mean_gflops"]


def test_device_and_precision_are_those_asked_for(run, csv_set, opened):
    run("a-bundle", "--data", csv_set(["dog"]), "--device", "cuda:1", "--precision", "int8", "--threads", 3)
    assert opened == [(("a-bundle", "cuda:1", "int8"), {"threads": 3})]


@pytest.mark.usefixtures("opened")
def test_the_table_has_a_row_a_budget(run, csv_set):
    code, out, err = run("--data", csv_set(["dog", "rain"]), "-b", "100mflops", "-b", "20mflops")
    assert (code, err) == (0, "")
    heading, head, *rows = out.splitlines()
    assert heading == "fake on fake in fp32; chance is 16.7 top-1"
    assert head.split()[:6] == ["budget", "clips", "top-1", "top-5", "mAP", "ECE"]
    assert "when" not in head
    assert [line.split()[:2] for line in rows] == [["100mflops", "2"], ["20mflops", "2"]]


@pytest.mark.usefixtures("opened")
def test_when_and_where_stand_where_truth_is_known(run, csv_set):
    table = csv_set(["dog", "rain"])
    whole = {"start": 0, "end": 9, "seen": True, "boxes": [[-1e4, -1e4, 2e4 + 128, 2e4 + 96]]}  # centre: the frame's
    write_truth(table.parent, {f"{index}.mp4": {"box_step": 0.25, "episodes": [whole]} for index in range(2)})
    code, out, _ = run("--data", table.parent, "--json")
    row = json.loads(out)
    assert code == 0
    assert (row["when"], row["when_clips"], row["where_clips"], row["readable_clips"]) == (1.0, 2, 2, 2)
    assert row["where"] == row["where_of_readable"]
    _, out, _ = run("--data", table)
    assert out.splitlines()[1].split()[-3:] == ["when", "where", "strict"]
    assert [line.partition(":")[0] for line in out.splitlines()[-3:]] == ["when", "where", "strict"]


@pytest.mark.usefixtures("opened")
def test_a_folder_per_class_and_activitynet_s_json_are_read(run, movie, tmp_path):
    for label in ("dog", "rain"):
        (tmp_path / "classes" / label).mkdir(parents=True)
        (tmp_path / "classes" / label / f"v_{label}1.mp4").write_bytes(movie.read_bytes())
    assert json.loads(run("--data", tmp_path / "classes", "--json")[1])["clips"] == 2
    database = {f"{label}1": {"subset": "validation", "annotations": [{"label": label}]} for label in ("dog", "rain")}
    (tmp_path / "net.json").write_text(json.dumps({"database": database}))
    for label in ("dog", "rain"):
        (tmp_path / f"v_{label}1.mp4").write_bytes(movie.read_bytes())
    code, out, _ = run("--data", tmp_path / "net.json", "--videos", tmp_path, "--split", "val", "--json")
    assert (code, json.loads(out)["clips"]) == (0, 2)
    code, out, err = run("--data", tmp_path / "net.json")
    assert (code, out) == (2, "")
    assert "--videos" in err


@pytest.mark.usefixtures("opened")
def test_a_split_is_a_part_of_the_set(run, csv_set):
    table = csv_set(["dog,train", "rain,val", "dog,val"], columns="path,label,split")
    assert json.loads(run("--data", table, "--split", "val", "--json")[1])["clips"] == 2
    code, _, err = run("--data", table, "--split", "holdout")
    assert code == 2
    assert "train, val" in err


@pytest.mark.usefixtures("opened")
def test_a_skipped_clip_is_told_once_and_the_exit_code_is_1(run, csv_set):
    code, out, err = run("--data", csv_set(["dog"] * 9, broken=1), "-b", "20mflops", "-b", "16mflops", "--json")
    assert code == 1
    assert [json.loads(line)["failed"][0]["clip"] for line in out.splitlines()] == ["broken0.mp4"] * 2
    assert err.count("\n") == 1
    assert err.startswith("warning: skipped: ")
    assert "broken0.mp4" in err


@pytest.mark.usefixtures("opened")
def test_too_many_skipped_clips_are_an_error(run, csv_set):
    code, out, err = run("--data", csv_set(["dog"] * 3, broken=1), "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")


@pytest.mark.usefixtures("opened")
def test_labels_that_the_bundle_does_not_know_are_named(run, csv_set):
    code, out, err = run("--data", csv_set(["dog", "cat", "emu", "rain|emu"]), "-b", "20mflops", "--json")
    assert (code, json.loads(out)["unknown_clips"]) == (0, 2)
    assert err.startswith(
        "warning: the bundle does not know 2 labels of the set (cat, emu): clips that show nothing else (2) "
    )


@pytest.mark.usefixtures("opened")
def test_the_plot_is_drawn_beside_the_rows(run, csv_set, tmp_path):
    code, out, err = run("--data", csv_set(["dog"]), "-b", "20mflops", "--plot", tmp_path / "curve.png", "--json")
    assert (code, len(out.splitlines()), err) == (0, 1, "")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_end_well_is_refused_before_the_bundle_is_opened(run, csv_set, opened, tmp_path, monkeypatch):
    table = csv_set(["dog"])
    for arguments in ((), ("--data", table, "--plot", tmp_path / "curve.gif")):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "avgn-edge[evaluate]" in run("--data", table, "--plot", tmp_path / "curve.png")[2]
    monkeypatch.setitem(sys.modules, "sklearn", None)
    code, out, err = run("--data", table)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "avgn-edge[evaluate]" in err
    assert not opened


@pytest.mark.usefixtures("opened")
def test_every_budget_is_checked_before_the_first_clip(run, csv_set):
    code, out, err = run("--data", csv_set(["dog"]), "-b", "none", "-b", "1mflops", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "16mflops" in err


@pytest.mark.usefixtures("opened")
def test_an_exit_that_is_not_calibrated_is_refused_before_the_first_clip(run, csv_set):
    table = csv_set(["dog"])
    for arguments in (("--average", "100mflops"), ("--exit-risk", "0.02"), ("-b", "none", "--average", "1gflops")):
        code, out, err = run("--data", table, *arguments, "--json")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "avgn-edge calibrate" in err


def test_requests_are_a_row_a_budget_and_a_row_an_average():
    asked = {"exit_risk": 0.1, "sampling": "centre"}
    assert requests(["1gflops", "none"], ["2gflops"], 0.1, "centre") == [
        Options.of("1gflops", **asked),
        Options.of("none", **asked),
        Options.of(average="2gflops", **asked),
    ]
    assert requests([], [], None, "cheap") == [Options.of("none")]
    assert requests([], ["2gflops"], None, "cheap") == [Options.of(average="2gflops")]


def test_the_table_fits_a_terminal_of_120_columns():
    shares = dict.fromkeys(("top1", "top5", "mean_average_precision", "where", "when", "where_of_readable"), 1.0)
    cost = {"mean_gflops": 24.4, "p95_gflops": 27.6, "mean_glances": 16.0, "mean_looks": 16.0, "p95_ms": 9_999.0}
    large = a_row(budget="12.5gflops", clips=45_000, where_clips=9_999, **shares, **cost)
    lines = list(as_text([a_row(), large]))
    assert len(lines) == 7
    assert max(map(len, lines)) <= 120


def test_the_packaged_bundle_knows_its_sample(run, tmp_path):
    try:
        sample = packaged_bundle_path().parent / "sample.mp4"
    except BundleError as error:
        pytest.skip(str(error))
    pytest.importorskip("onnxruntime")
    assert sample.is_file()
    (tmp_path / "labels.csv").write_text(f"path,label\n{sample},6\n")
    code, out, err = run("--data", tmp_path / "labels.csv", "--threads", 1, "--device", "cpu", "--json")
    row = json.loads(out)
    assert (code, err) == (0, "")
    assert (row["top1"], row["clips"], row["average_precision_classes"]) == (1.0, 1, 1)
    assert row["expected_calibration_error"] < 0.2
