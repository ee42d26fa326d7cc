"""Damaged files are answered or refused in one line, and the survey that says so sees what is neither."""

from __future__ import annotations

import sys

import pytest

from benchmarks.damaged_files import CUTS, FLIPS, Case, cases, main, survey

WORKER = """
import json, os, signal, sys, time
print("ready", flush=True)
for line in sys.stdin:
    number = json.loads(line)["number"]
    if number == 1: os.kill(os.getpid(), signal.SIGSEGV)
    if number == 2: time.sleep(60)
    if number == 3: raise RuntimeError("what was that")
    print(json.dumps(["answered", str(number)]), flush=True)
"""


def test_signals_hangs_and_tracebacks_are_seen_and_the_rest_goes_on():
    wanted = [Case("x", "cut", number) for number in range(5)]
    outcomes = list(survey(wanted, [sys.executable, "-c", WORKER], limit_s=1.0))
    assert [outcome.case for outcome in outcomes] == wanted
    assert [outcome.kind for outcome in outcomes] == ["answered", "signal", "hang", "traceback", "answered"]
    assert outcomes[1].text == "SIGSEGV"
    assert outcomes[3].text.endswith("RuntimeError: what was that")


def test_damage_is_what_it_is_called_and_the_same_each_time(tmp_path):
    data = bytes(range(256)) * 4
    (tmp_path / "some.bin").write_bytes(data)
    (tmp_path / "README.md").write_text("no clip")
    found = cases([tmp_path])
    assert len(found) == CUTS + FLIPS
    lengths = [len(case.data()) for case in found[:CUTS]]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] < len(data)
    for case in found[CUTS:]:
        changed = case.data()
        assert len(changed) == len(data)
        assert 1 <= sum(a != b for a, b in zip(changed, data, strict=True)) <= 64
        assert changed == case.data()


def test_damaged_clips_are_answered_or_refused(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    from media_makers import SoundSpec, VideoSpec, tone, write_media

    video, sound = VideoSpec(size=(64, 48), times=[i / 10 for i in range(20)]), SoundSpec(tone(440, 2, 16_000), 16_000)
    write_media(tmp_path / "a.mp4", video, sound)
    write_media(tmp_path / "b.mkv", video, SoundSpec(tone(440, 2, 48_000), 48_000, "libopus", "flt"), "matroska")
    write_media(tmp_path / "c.wav", None, SoundSpec(tone(440, 2, 16_000), 16_000, "pcm_s16le", "s16"), "wav")
    assert main([str(tmp_path), "--sample", "24", "--budget", "300mflops"]) == 0
    told = capsys.readouterr().out
    assert "24 damaged files of 3 in" in told
    assert "answered" in told
