"""Decoding in the plainest way gives what the package's own decoding gives."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avgn_edge.media import open_clip
from benchmarks import ffmpeg, plain

_TORCHCODEC = """
import sys, numpy as np
from pathlib import Path
from benchmarks import plain
from benchmarks.obvious import TorchCodec
path = Path(sys.argv[1])
codec = TorchCodec()
seconds = plain.centres(codec.duration_s(path), 16)
frames, sound = codec.frames(path, seconds), codec.sound(path)
assert frames.shape == (16, 224, 224, 3) and frames.dtype == np.uint8
expected = plain.frames_at(path, seconds)
apart = np.abs(frames.astype(int) - expected).mean(axis=(1, 2, 3))
mixed = np.abs(expected.astype(int) - expected[::-1]).mean()
assert apart.max() < mixed / 4, (apart, mixed)
assert abs(len(sound) / 16_000 - 16) < 0.1
"""


@pytest.mark.parametrize("threads", ["AUTO", "SLICE"])
def test_frames_are_those_shown_at_the_moments(small_clip, threads):
    with open_clip(small_clip) as clip:
        seconds = [moment.time_s for moment in clip.moments]
        expected = np.stack(clip.frames(range(16)))
    found = plain.frames_at(small_clip, seconds, threads)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).mean(axis=(1, 2, 3)).max() < 3
    assert seconds == pytest.approx(plain.centres(16.0, 16))


def test_far_frames_are_sought(small_clip):
    with open_clip(small_clip, times=[0.5, 9.7, 15.9]) as clip:
        expected = np.stack(clip.frames(range(3)))
    assert np.abs(plain.frames_at(small_clip, [0.5, 9.7, 15.9]).astype(int) - expected).mean() < 3


def test_windows_of_sound_are_the_packages_own(small_clip):
    with open_clip(small_clip) as clip:
        expected, heard = clip.windows()
        seconds = [moment.time_s for moment in clip.moments]
    assert heard.all()
    whole = plain.windows_of(plain.whole_sound(small_clip), seconds)
    around = plain.sound_around(small_clip, seconds)
    alone = np.concatenate([plain.sound_around(small_clip, [second]) for second in seconds[::5]])
    for found, wanted in ((whole, expected), (around, expected), (alone, expected[::5])):
        alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(found, wanted, strict=True)]
        assert min(alike) > 0.95  # a start between two samples, and another mix to mono


def test_torchcodec_decodes_the_same_with_pyavs_libraries(small_clip, tmp_path):
    pytest.importorskip("PIL")
    bundled = ffmpeg.bundled_libraries()
    if __import__("importlib").util.find_spec("torchcodec") is None:
        pytest.skip("torchcodec is not installed: its pipeline is not tested")
    if bundled is None:
        pytest.skip("PyAV brings no libraries of its own: torchcodec's pipeline is not tested")
    ffmpeg.link(bundled, tmp_path)
    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _TORCHCODEC, str(small_clip)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_other_programs_start_without_the_links(monkeypatch):
    monkeypatch.setenv("AVGN_EDGE_BENCHMARK_LIBRARIES", "/links")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/links:/opt/lib")
    assert ffmpeg.plain_environment()["LD_LIBRARY_PATH"] == "/opt/lib"
    monkeypatch.setenv("LD_LIBRARY_PATH", "/links")
    assert "LD_LIBRARY_PATH" not in ffmpeg.plain_environment()
    assert "AVGN_EDGE_BENCHMARK_LIBRARIES" not in ffmpeg.plain_environment()


def test_libraries_are_linked_as_torchcodec_names_them(tmp_path):
    bundled = tmp_path / "av.libs"
    bundled.mkdir()
    for name in ("libavcodec-5e6b81c2.so.62.28.102", "libgnutls-71454fd1.so.30.42.0"):
        (bundled / name).touch()
    for _ in range(2):  # again over what is there
        ffmpeg.link(bundled, tmp_path / "links")
    made = {path.name for path in (tmp_path / "links").iterdir()}
    assert made == {"libavcodec-5e6b81c2.so.62.28.102", "libavcodec.so.62", "libgnutls-71454fd1.so.30.42.0"}
