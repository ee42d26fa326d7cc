"""`classify`: an answer or one line for every clip, and a batch that goes on."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from avgn_edge.bundle.reader import Bundle
from avgn_edge.runtime.budget import smallest
from avgn_edge.runtime.recognizer import Recognizer

NUMBER = (int, float)
KEYS = {
    "clip": str,
    "duration_s": NUMBER,
    "label": str,
    "score": NUMBER,
    "top": list,
    "budget": dict,
    "exit": str,
    "moments": list,
    "timing_ms": dict,
    "device": str,
    "precision": str,
    "model": str,
    "warnings": list,
}
MOMENT_KEYS = ["index", "time_s", "saliency", "glanced", "rank", "box", "label", "score"]
TIMING_KEYS = ["decode", "audio", "glance", "saliency", "spatial", "local", "classify", "total"]


def check_answer(answer):
    """The contract's JSON, key by key."""
    assert list(answer) == list(KEYS)
    for key, kind in KEYS.items():
        assert isinstance(answer[key], kind), key
    assert all(list(row) == ["label", "score"] for row in answer["top"])
    assert answer["top"][0] == {"label": answer["label"], "score": answer["score"]}
    assert list(answer["budget"]) == ["asked", "spent_gflops", "glance", "looks"]
    assert answer["exit"] in {"confident", "budget", "looks", "no-visual"}
    assert list(answer["timing_ms"]) == TIMING_KEYS
    assert all(value >= 0 and math.isfinite(value) for value in answer["timing_ms"].values())
    assert [moment["index"] for moment in answer["moments"]] == list(range(16))
    for moment in answer["moments"]:
        assert list(moment) == MOMENT_KEYS
        assert 0 <= moment["time_s"] <= answer["duration_s"] + 1e-6
        assert isinstance(moment["glanced"], bool)
        assert moment["saliency"] is None or math.isfinite(moment["saliency"])  # trained towards 0…1
        assert (moment["rank"] is None) == (moment["box"] is None)
        assert (moment["label"] is None) == (moment["score"] is None)
    ranks = sorted(moment["rank"] for moment in answer["moments"] if moment["rank"] is not None)
    assert ranks == list(range(answer["budget"]["looks"]))
    assert sum(moment["glanced"] for moment in answer["moments"]) == answer["budget"]["glance"]


def test_every_shared_clip_gives_an_answer_or_one_line(run, bundle, shared_clips):
    done = run("classify", *shared_clips, "--model", bundle, "--json")
    assert [row["clip"] for row in done.objects] == [str(path) for path in shared_clips]
    failed = [row for row in done.objects if "error" in row]
    assert done.code == (1 if failed else 0)
    assert len(done.stderr.splitlines()) == len(done.errors) == len(failed)
    for row in done.objects:
        if "error" not in row:
            check_answer(row)


def test_json_has_the_schema_and_boxes_in_the_displayed_frame(run, bundle, media):
    done = run("classify", media / "both.mp4", media / "turned.mp4", media / "silent.mp4", "-m", bundle, "--json")
    assert (done.code, done.stderr) == (0, "")
    for row, (wide, high) in zip(done.objects, [(128, 96), (96, 128), (128, 96)], strict=True):
        check_answer(row)
        boxes = [moment["box"] for moment in row["moments"] if moment["box"] is not None]
        assert boxes
        for x, y, w, h in boxes:
            assert min(x, y) >= -1e-3
            assert min(w, h) > 0
            assert x + w <= wide + 1e-3
            assert y + h <= high + 1e-3
    assert done.objects[2]["warnings"] == ["no audio track"]


def test_sound_alone_is_answered(run, bundle, media):
    row = run("classify", media / "sound.wav", "-m", bundle, "--json").objects[0]
    check_answer(row)
    assert (row["exit"], row["budget"]["glance"], row["budget"]["looks"]) == ("no-visual", 0, 0)


@pytest.mark.parametrize("name", ["empty.mp4", "text.mp4", "cut.mp4", "missing.mp4"])
def test_a_bad_clip_is_one_line(run, bundle, media, name):
    done = run("classify", media / name, "-m", bundle)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == done.errors
    assert len(done.errors) == 1
    assert re.fullmatch(r"error: .*" + re.escape(name) + r": .+: .+", done.errors[0])


def test_an_empty_name_is_no_folder(run, bundle, media):
    done = run("classify", "", media / "sound.wav", "-m", bundle, "--json")
    assert (done.code, done.objects[0]["clip"], "label" in done.objects[1]) == (1, "", True)
    assert "its name is empty" in done.objects[0]["error"]
    assert "its name is empty" in run("watch", "").errors[0]


def test_a_batch_goes_on_after_a_bad_clip(run, bundle, media):
    clips = [media / "empty.mp4", media / "both.mp4", media / "text.mp4", media / "sound.wav"]
    done = run("classify", *clips, "-m", bundle)
    assert done.code == 1
    assert [line.split()[0] for line in done.lines] == [str(media / "both.mp4"), str(media / "sound.wav")]
    assert len(done.errors) == 2
    done = run("classify", *clips, "-m", bundle, "--json")
    assert done.code == 1
    assert [list(row) == ["clip", "error"] for row in done.objects] == [True, False, True, False]
    assert len(done.errors) == 2


def test_lines_are_aligned_and_cost_what_the_json_says(run, bundle, media):
    clips = [media / "both.mp4", media / "sound.wav"]
    rows = run("classify", *clips, "-m", bundle, "--json").objects
    lines = run("classify", *clips, "-m", bundle, "--top", 3).lines
    assert len({line.index("  (") for line in lines}) == 1
    for row, line in zip(rows, lines, strict=True):
        assert f"{row['budget']['spent_gflops']:.2f} GFLOPs" in line
        scores = re.findall(r"(\S+) +(\d\.\d\d)(?=  )", line)
        assert [label for label, _ in scores] == [best["label"] for best in row["top"][:3]]
    assert "sound only" in lines[1]


def test_one_clip_is_one_short_line(run, bundle, media):
    done = run("classify", media / "silent.mp4", "-m", bundle)
    assert re.fullmatch(r"\S+/silent\.mp4  \S+ \d\.\d\d  \(\d+\.\d\d GFLOPs, \d+ looks?, \d+ ms\)\n", done.stdout)
    assert done.stderr == f"warning: {media / 'silent.mp4'}: no audio track\n"


def test_top_of_json_is_five_unless_told(run, bundle, media):
    assert len(run("classify", media / "sound.wav", "-m", bundle, "--json").objects[0]["top"]) == 5
    assert len(run("classify", media / "sound.wav", "-m", bundle, "--json", "--top", 2).objects[0]["top"]) == 2


def test_a_budget_below_the_sound_names_one_that_works(run, bundle, media):
    done = run("classify", media / "both.mp4", "-m", bundle, "--budget", "1mflops")
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    suggested = done.errors[0].rsplit(" ", 1)[1]
    row = run("classify", media / "both.mp4", "-m", bundle, "--budget", suggested, "--json").objects[0]
    assert row["budget"]["asked"] == suggested
    assert 0 < row["budget"]["spent_gflops"] <= float(suggested.removesuffix("mflops")) / 1e3


def test_a_budget_that_one_clip_cannot_meet_is_that_clips_error(run, bundle, media):
    sound_alone = smallest(Bundle.open(bundle).manifest.cost["audio_encoder"].macs(16))
    clips = [media / "silent.mp4", media / "sound.wav"]
    done = run("classify", *clips, "-m", bundle, "--budget", sound_alone, "--json")
    assert done.code == 1
    suggested = done.objects[0]["error"].rsplit(" ", 1)[1]
    check_answer(done.objects[1])
    assert run("classify", media / "silent.mp4", "-m", bundle, "--budget", suggested).code == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--budget", "6"),
        ("--budget", "-1gflops"),
        ("--budget", "lots"),
        ("--device", "gpu"),
        ("--device", "cuda:x"),
        ("--precision", "fp64"),
        ("--precision", "int4"),
        ("--sampling", "middle"),
        ("--top", "0"),
        ("--top", "few"),
        ("--threads", "0"),
        ("--threads", "100000"),
        ("--nonsense", "1"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2_before_any_clip(run, bundle, media, option, value):
    done = run("classify", media / "both.mp4", media / "empty.mp4", "-m", bundle, option, value)
    assert (done.code, done.stdout) == (2, "")
    assert len(done.errors) == len(done.stderr.splitlines()) == 1
    assert done.errors[0].count(": ") >= 3


def test_no_clip_is_wrong_usage(run):
    done = run("classify")
    assert (done.code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_a_missing_bundle_is_exit_2(run, media, tmp_path):
    done = run("classify", media / "both.mp4", "--model", tmp_path / "none")
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)


def test_a_tampered_bundle_is_exit_2(run, bundle, media, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    graph = next((copy / "graphs").rglob("local_encoder.onnx"))
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    for command in (["classify", media / "both.mp4", "--model"], ["info"]):
        done = run(*command, copy)
        assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
        assert "hash" in done.errors[0]


def test_folders_hold_their_media_sorted_without_the_hidden(run, bundle, media, tmp_path):
    for name in ("b.mp4", "a.MP4", ".hidden.mp4", "notes.txt", "in/c.mp4", ".secret/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(media / "both.mp4", tmp_path / name)
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    flat = run("classify", tmp_path, "-m", bundle, "--json").objects
    assert [os.path.relpath(row["clip"], tmp_path) for row in flat] == ["a.MP4", "b.mp4"]
    nested = run("classify", "-r", tmp_path, "-m", bundle, "--json").objects
    assert [os.path.relpath(row["clip"], tmp_path) for row in nested] == ["a.MP4", "b.mp4", "in/c.mp4"]


def test_a_folder_without_media_is_an_error_of_that_argument(run, bundle, media, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(media / "sound.wav", tmp_path / "in")
    done = run("classify", tmp_path, media / "sound.wav", "-m", bundle, "--json")
    assert done.code == 1
    assert done.objects[0]["clip"] == str(tmp_path)
    assert "-r" in done.objects[0]["error"]
    check_answer(done.objects[1])


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="file names are Unicode there")
def test_odd_names_keep_to_one_line_each(run, bundle, media, tmp_path):
    names = [b"new\nline.wav", b"\xff\xfe.wav", b"\x1b[31m.wav", "漢字 😀.wav".encode(), b"two  spaces.wav"]
    for name in names:
        shutil.copy(media / "sound.wav", os.fsencode(tmp_path) + b"/" + name)
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/bad\n\xff  .wav")
    Path(bad).write_text("text")
    done = run("classify", tmp_path, "-m", bundle)
    assert (done.code, len(done.lines), len(done.errors), len(done.stderr.splitlines())) == (1, 5, 1, 1)
    assert "\x1b" not in done.stdout
    assert r"bad\n\xff  .wav" in done.errors[0]
    done = run("classify", tmp_path, "-m", bundle, "--json")
    assert {os.fsencode(Path(row["clip"]).name) for row in done.objects} == {*names, b"bad\n\xff  .wav"}


def test_a_clip_named_twice_is_answered_twice(run, bundle, media):
    rows = run("classify", media / "sound.wav", media / "sound.wav", "-m", bundle, "--json").objects
    assert [row["clip"] for row in rows] == [str(media / "sound.wav")] * 2
    assert rows[0]["score"] == rows[1]["score"]


@pytest.mark.parametrize(
    "asked",
    [
        ("--exit-risk", "2"),
        ("--exit-risk", "-0.1"),
        ("--average", "80ms"),
        ("--average", "1gflops", "--exit-risk", "0.02"),
    ],
    ids=" ".join,
)
def test_a_rule_of_stopping_that_makes_no_sense_is_one_line(asked, run, bundle, media):
    done = run("classify", media / "both.mp4", "-m", bundle, *asked)
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    assert asked[0].strip("-").split("-")[0] in done.errors[0]


def test_a_bug_in_one_clip_costs_the_others_nothing(run, bundle, media, monkeypatch):
    right = Recognizer.answer

    def answer(self, clip, *arguments, **options):
        if clip.endswith("both.mp4"):
            raise RuntimeError("two\nlines")
        return right(self, clip, *arguments, **options)

    monkeypatch.setattr(Recognizer, "answer", answer)
    done = run("classify", media / "both.mp4", media / "sound.wav", "-m", bundle)
    assert (done.code, len(done.lines), len(done.errors)) == (1, 1, 1)
    assert "both.mp4: RuntimeError (two lines): this is a bug: run again with --debug" in done.errors[0]
    done = run("classify", media / "both.mp4", "-m", bundle, "--debug")
    assert "Traceback" in done.stderr


def test_ctrl_c_keeps_what_was_done(run, bundle, media, monkeypatch):
    right = Recognizer.answer

    def answer(self, clip, *arguments, **options):
        if clip.endswith("both.mp4"):
            raise KeyboardInterrupt
        return right(self, clip, *arguments, **options)

    monkeypatch.setattr(Recognizer, "answer", answer)
    done = run("classify", media / "sound.wav", media / "both.mp4", media / "sound.wav", "-m", bundle, "--json")
    assert (done.code, len(done.objects)) == (130, 1)
    assert done.stderr == "interrupted: 1 of 3 clips done\n"


def test_a_graph_that_gives_no_numbers_costs_the_clips_that_need_it_and_no_other(run, bundle, media, monkeypatch):
    from avgn_edge.runtime.sessions import Sessions

    class Spoilt:
        def __init__(self, session):
            self.session = session

        def run(self, inputs, keep=()):
            out = self.session.run(inputs, keep)
            return {**out, "logits": out["logits"] * np.nan}

    real = Sessions.get
    monkeypatch.setattr(
        Sessions, "get", lambda self, graph: (Spoilt if graph == "global_encoder" else lambda s: s)(real(self, graph))
    )
    clips = [media / "both.mp4", media / "sound.wav", media / "silent.mp4"]
    done = run("classify", *clips, "-m", bundle, "--json", "--jobs", 1, "--device", "cpu")
    assert (done.code, len(done.errors)) == (1, 2)
    bad, good, worse = done.objects
    assert good["label"]
    for clip, row in ((clips[0], bad), (clips[2], worse)):
        assert row["clip"] == str(clip)
        assert row["error"].startswith("graph global_encoder: its logits are not finite numbers: try --precision fp32")
