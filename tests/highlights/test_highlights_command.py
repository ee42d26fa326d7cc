"""`avgn-edge highlights`: what it prints, writes, and refuses."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from highlight_makers import write_minute

from avgn_edge.cli.main import main

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    return write_minute(tmp_path_factory.mktemp("minute") / "minute.mp4")


@pytest.fixture
def run(capfd, tiny_bundle):
    def command(*arguments):
        capfd.readouterr()
        model = ("--model", str(tiny_bundle.path), "--device", "cpu", "--precision", "fp32", "--threads", "1")
        code = main(["highlights", *map(str, arguments), *model])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


def test_json_is_one_object_and_nothing_else(run, minute):
    code, out, _ = run(minute, "--json", "--top", 3, "--least", 0)
    assert code == 0
    told = json.loads(out)
    assert out.count("\n") == 1
    assert told["video"] == str(minute)
    assert 1 <= len(told["segments"]) <= 3
    assert told["budget"]["spent_gflops"] <= told["budget"]["one_a_second_gflops"] / 4
    assert (told["device"], told["precision"]) == ("cpu", "fp32")
    assert [segment["rank"] for segment in told["segments"]] == list(range(1, len(told["segments"]) + 1))


def test_people_get_a_line_a_segment_and_the_cost_on_stderr(run, minute):
    code, out, err = run(minute, "--top", 3, "--least", 0)
    assert code == 0
    lines = out.splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith(f"{rank}.") and "score" in line for rank, line in enumerate(lines, start=1))
    assert "of glancing once a second" in err


def test_the_same_video_gives_the_same_answer_twice(run, minute):
    assert run(minute, "--json")[1] == run(minute, "--json")[1]


def test_every_file_that_is_asked_for_is_written_and_says_the_same(run, minute, tmp_path):
    names = {name: tmp_path / f"a.{name}" for name in ("edl", "csv", "png")}
    code, out, _ = run(
        *(minute, "--json", "--top", 2, "--least", 0, "--clips", tmp_path / "deep" / "cuts"),
        *("--edl", names["edl"], "--csv", names["csv"], "--sheet", names["png"]),
    )
    assert code == 0
    segments = json.loads(out)["segments"]
    rows = list(csv.DictReader(names["csv"].open(encoding="utf-8")))
    assert [float(row["start_s"]) for row in rows] == pytest.approx([s["start_s"] for s in segments], abs=1e-3)
    assert names["edl"].read_text(encoding="utf-8").count("* FROM CLIP NAME: minute.mp4") == len(segments)
    assert names["png"].read_bytes()[:4] == b"\x89PNG"
    cuts = sorted(str(path) for path in (tmp_path / "deep" / "cuts").iterdir())
    assert cuts == [segment["clip"]["file"] for segment in segments]
    assert all(segment["clip"]["start_s"] <= segment["start_s"] for segment in segments)


def test_a_video_that_cannot_be_read_is_one_line_and_exit_code_1(run, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    code, out, err = run(tmp_path / "text.mp4", "--json")
    assert code == 1
    assert set(json.loads(out)) == {"video", "error"}
    assert [line.startswith("error: ") for line in err.splitlines()] == [True]
    assert run(tmp_path / "none.mp4")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--budget", "5s"), "give it in gflops"),
        (("--budget", "1mflops"), "give at least"),
        (("--edl", "none/a.edl"), "there is no folder"),
        (("--edl", "a.txt", "--csv", "a.txt"), "one file"),
        (("--top", "0"), "see avgn-edge highlights --help"),
        (("--tvsum", "anno.tsv", "--edl", "a.edl"), "writes no files"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line_with_exit_code_2(run, minute, arguments, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(minute, *arguments)
    assert (code, out) == (2, "")
    assert why in err
    assert not list(tmp_path.iterdir())


def test_no_list_overwrites_the_video(run, minute):
    before = minute.read_bytes()
    code, _, err = run(minute, "--csv", minute)
    assert code == 2
    assert "the video itself" in err
    assert minute.read_bytes() == before


def test_tvsums_figure_is_told_by_category(run, minute, tmp_path):
    rng = np.random.default_rng(0)
    rows = [",".join(map(str, np.repeat(rng.integers(1, 6, 30), 10))) for _ in range(4)]
    (tmp_path / "anno.tsv").write_text(
        "".join(f"{minute.stem}\tVT\t{row}\n" for row in rows) + f"gone\tPK\t{rows[0]}\n"
    )
    code, out, err = run(minute.parent, "--tvsum", tmp_path / "anno.tsv", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["videos"] == 1
    assert 0 <= told["top5_map"] <= 1
    assert told["by_category"] == {"VT": told["top5_map"]}
    assert told["missing"] == ["gone"]
    assert "gone" in err
    code, out, _ = run(minute.parent, "--tvsum", tmp_path / "anno.tsv")
    assert out.splitlines()[-1].split()[0] == "all"
