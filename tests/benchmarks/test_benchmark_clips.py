"""The clips of the benchmarks are what they claim to be."""

from dataclasses import replace
from itertools import pairwise

import av
import numpy as np
import pytest

pytest.importorskip("PIL")

from avgn_edge._base.errors import AvgnEdgeError
from benchmarks import clips
from benchmarks.clips import ALL, DEFAULT, ClipSpec, made
from benchmarks.scenery import Scenery


@pytest.fixture(scope="module", params=["h264", "hevc"])
def described(request, small_spec, small_clip, tmp_path_factory):
    spec = replace(small_spec, codec=request.param)
    return spec, small_clip if spec == small_spec else made(spec, tmp_path_factory.mktemp("other"))


def test_key_frames_come_at_the_interval_and_nowhere_else(described):
    spec, path = described
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        first = stream.index_entries[0].timestamp
        keys = [float((e.timestamp - first) * stream.time_base) for e in stream.index_entries if e.is_keyframe]
    assert keys == pytest.approx(list(range(0, spec.seconds, spec.key_s)))


def test_length_size_codec_and_sound_are_as_stated(described):
    spec, path = described
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert float(video.duration * video.time_base) == pytest.approx(spec.seconds)
        assert float(audio.duration * audio.time_base) == pytest.approx(spec.seconds, abs=0.05)
        assert (video.width, video.height) == spec.size
        assert video.codec_context.name == spec.codec
        assert audio.codec_context.name == "aac"
        assert video.bit_rate == pytest.approx(1e6 * spec.megabits, rel=0.3)


def test_every_frame_and_all_the_sound_decode_without_damage_or_gap(described):
    spec, path = described
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    with av.open(str(path)) as container:
        ends = [(f.time, f.time + f.samples / f.sample_rate) for f in container.decode(audio=0)]
    assert [frame.time for frame in frames] == pytest.approx(
        [at / clips.RATE for at in range(spec.seconds * clips.RATE)]
    )
    assert not any(frame.is_corrupt for frame in frames)
    gaps = [after[0] - before[1] for before, after in pairwise(ends)]
    assert max(map(abs, gaps)) < 1e-3


def test_a_long_clip_repeats_its_pattern(described):
    spec, path = described
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    again = spec.pattern_s * clips.RATE
    assert all((frames[at] == frames[at + again]).all() for at in (0, 1, 100, again - 1))


def test_the_picture_moves_is_textured_and_cuts(small_clip):
    with av.open(str(small_clip)) as container:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    changes = np.array([np.abs(after - before).mean() for before, after in pairwise(frames)])
    assert changes.min() > 0
    assert all(frame.std() > 5 for frame in frames[::30])
    cuts = np.flatnonzero(changes[: 8 * clips.RATE - 1] > 4 * np.median(changes)) + 1
    assert set(cuts) == {3 * clips.RATE, 6 * clips.RATE}


def test_scenery_is_its_seeds():
    first, second, other = (list(Scenery(96, 64, seed).frames(3, 30)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert first[0].shape == (96, 96)


def test_a_clip_is_made_once(small_spec, small_clip, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(clips, "_encode", never)
    assert made(small_spec, small_clip.parent) == small_clip


def test_a_clip_that_fails_leaves_nothing_behind(small_spec, tmp_path, monkeypatch):
    def fails(_spec, _seconds, path):
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(clips, "_encode", fails)
    with pytest.raises(AvgnEdgeError, match="full"):
        made(small_spec, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_one_slice_on_any_machine(described):
    spec, path = described
    if spec.codec != "h264":
        pytest.skip("x265 writes one slice unless it is told otherwise")
    with av.open(str(path)) as container:
        packet = next(packet for packet in container.demux(video=0) if packet.is_keyframe)
    data, at, slices = bytes(packet), 0, 0
    while at < len(data):  # each unit of MP4's H.264 follows its length
        length = int.from_bytes(data[at : at + 4], "big")
        slices += data[at + 4] & 31 == 5  # of a key frame
        at += 4 + length
    assert slices == 1


def test_the_recording_is_what_the_packaged_network_recognises_wherever_its_moments_lie(tmp_path):
    from avgn_edge.data.datasets import LabelledClip
    from avgn_edge.runtime.recognizer import Recognizer
    from benchmarks.reach import strayed

    spec = ClipSpec(12, 360, "h264", 2, 1.0, shows_digit=True)
    assert spec.name == "12s-360p-h264-2s-digit"
    with Recognizer.open(device="cpu") as recognizer:
        path = made(spec, tmp_path)
        result = recognizer.classify(path)
        centre, anywhere = (
            strayed(recognizer, LabelledClip(path, "a clip", ("6",)), reach, exit_risk=None) for reach in (0.0, 1.0)
        )
    assert (result.label, result.exit) == ("6", "confident")
    assert centre.right
    assert anywhere.right
    assert centre.strayed == pytest.approx(0, abs=1e-6) != anywhere.strayed
    assert anywhere.decoded < centre.decoded


def test_all_holds_the_default_and_every_combination_under_names_of_their_own():
    assert set(DEFAULT) < set(ALL)
    assert len({spec.name for spec in ALL}) == len(ALL) == 3 * 3 * 2 * 2 + 4
    assert ClipSpec(120, 720, "h264", 8, 50.0).name == "2min-720p-h264-8s-50mbit"
    # Else a repeated clip's key frames, or its sound, would stumble where one turn follows another.
    for spec in ALL:
        if spec.seconds > spec.pattern_s:
            assert spec.seconds % spec.pattern_s == spec.pattern_s % spec.key_s == 0
            assert spec.pattern_s * 48_000 % 1024 == 0
