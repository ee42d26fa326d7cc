"""Segments of files, and moments at given times."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import SoundSpec, VideoSpec, click, make_media, number_of, tone

from avgn_edge._base.errors import ClipError
from avgn_edge.media import open_clip
from avgn_edge.media.file_clip import SLACK_S, segment_of
from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES
from avgn_edge.media.moments import moments_at

VIDEO = VideoSpec(times=[i / 10 for i in range(80)], size=(64, 48))
NOISE = (0.3 * np.random.default_rng(0).standard_normal((8 * 22_050, 1))).astype(np.float32)


def wav(samples, rate):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


FILES = {
    "mp4": make_media(VIDEO, SoundSpec(NOISE, 22_050)),
    "mkv": make_media(VIDEO, SoundSpec(NOISE, 22_050, "flac", "s16"), "matroska"),
    "ts": make_media(VIDEO, SoundSpec(NOISE, 22_050), "mpegts"),
    "wav": wav(NOISE, 22_050),
    "adts": make_media(None, SoundSpec(NOISE, 22_050), "adts"),
}


def shown_at(time_s):
    """The number shown at a second of the file; a sum of floats may fall short of a frame's start."""
    return VIDEO.shown_at(time_s + 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.one_of(st.none(), st.floats(0, 7.5)),
    st.one_of(st.none(), st.floats(0.05, 8)),
    st.sampled_from(["centre", "cheap"]),
)
def test_a_segment_is_what_a_file_cut_there_would_be(kind, start_s, length_s, sampling):
    first_s = start_s or 0.0
    end_s = None if length_s is None else min(first_s + length_s, 7.9)
    with open_clip(FILES[kind], count=4, sampling=sampling, start_s=start_s, end_s=end_s) as clip:
        assert clip.duration_s == pytest.approx((8.0 if end_s is None else end_s) - first_s, abs=0.15)
        assert clip.moments[0].bin_start_s == 0
        assert clip.moments[-1].bin_end_s == pytest.approx(clip.duration_s)
        assert all(moment.bin_start_s <= moment.time_s <= moment.bin_end_s for moment in clip.moments)
        times = [first_s + moment.time_s for moment in clip.moments]
        windows, heard = clip.windows()
        if clip.has_video:
            assert [number_of(pixels) for pixels in clip.frames(range(4))] == [shown_at(time) for time in times]
    with open_clip(FILES[kind], times=times) as whole:
        wanted = whole.windows()[0].copy()
    for window, time_s in zip(wanted, times, strict=True):
        positions = round((time_s - WINDOW_SAMPLES / 2 / SAMPLE_RATE) * SAMPLE_RATE) + np.arange(WINDOW_SAMPLES)
        if start_s is not None:
            window[positions < round(start_s * SAMPLE_RATE)] = 0
        if end_s is not None:
            window[positions >= round(end_s * SAMPLE_RATE)] = 0
    np.testing.assert_array_equal(windows, wanted)
    assert heard.any()


def test_sound_of_the_neighbours_is_not_heard():
    rate = 16_000
    data = wav(np.concatenate([np.zeros((2 * rate, 1)), tone(440, 2, rate), np.zeros((2 * rate, 1))]), rate)
    with open_clip(data, start_s=4.0) as after, open_clip(data, end_s=2.0) as before:
        assert not after.windows()[1].any()
        assert not before.windows()[1].any()
    with open_clip(data, start_s=2.0, end_s=4.0) as inside:
        assert inside.windows()[1].all()


def test_segments_deep_in_a_long_file_decode_little_and_hear_what_is_there():
    video = VideoSpec(times=[i / 4 for i in range(480)], size=(64, 48))
    sound = SoundSpec(click(100.4, 120, 22_050, width_s=0.002), 22_050)
    for container in ("mp4", "mpegts"):
        with open_clip(make_media(video, sound, container), count=4, start_s=100, end_s=102) as clip:
            windows, heard = clip.windows()
            peak = int(np.abs(windows[1]).argmax())
            at_s = clip.moments[1].time_s + (peak - WINDOW_SAMPLES / 2) / SAMPLE_RATE
            assert at_s == pytest.approx(0.4, abs=0.06 if container == "mpegts" else 0.005)
            assert heard.tolist() == [True, True, False, False]
            numbers = [number_of(pixels) for pixels in clip.frames(range(4))]
            assert numbers == [video.shown_at(100 + moment.time_s) for moment in clip.moments]
            assert clip.decoded < 80


def test_a_clip_without_a_segment_keeps_the_sound_before_its_video():
    video = VideoSpec(times=[1 + i / 10 for i in range(40)])
    data = make_media(video, SoundSpec(tone(440, 5, 44_100)), "matroska")
    before = slice(WINDOW_SAMPLES // 2 - 4_000)  # the first moment is at 0.125 s, 2,000 samples
    with open_clip(data) as whole, open_clip(data, start_s=0.0) as cut:
        assert np.abs(whole.windows()[0][0][before]).max() > 0.3
        assert not cut.windows()[0][0][before].any()


def test_the_size_of_a_segment_is_that_of_its_file():
    with open_clip(make_media(VideoSpec(rotation=90)), start_s=2.0) as clip:
        assert clip.display_size == (96, 128)


def test_an_end_just_after_the_file_is_the_files():
    with open_clip(FILES["mp4"]) as whole:
        file_s = whole.duration_s
    with open_clip(FILES["mp4"], start_s=7, end_s=file_s + 0.9 * SLACK_S) as clip:
        assert clip.duration_s == pytest.approx(file_s - 7)
        assert number_of(clip.frames([15])[0]) == shown_at(7 + clip.moments[15].time_s)


def test_a_picture_is_a_segment_from_its_start():
    data = make_media(VideoSpec(times=[0]))
    with open_clip(data, start_s=0.0) as clip:
        assert number_of(clip.frames([15])[0]) == 0
    with pytest.raises(ClipError, match="not inside"):
        open_clip(data, start_s=1.0)


@pytest.mark.parametrize("kind", ["mp4", "wav"])
@pytest.mark.parametrize(
    ("start_s", "end_s", "message"),
    [
        (9.0, None, "9 s to its end is not inside its"),
        (9.0, 10.0, "9 s to 10 s is not inside"),
        (2.0, 9.0, "2 s to 9 s is not inside"),
        (None, 9.0, "0 s to 9 s is not inside"),
        (3.0, 3.0, "no segment"),
        (5.0, 3.0, "no segment"),
        (None, 0.0, "no segment"),
        (-1.0, 3.0, "no segment"),
        (float("nan"), 3.0, "no segment"),
        (1.0, float("inf"), "no segment"),
    ],
)
def test_a_segment_outside_its_file_is_a_clip_error(tmp_path, kind, start_s, end_s, message):
    path = tmp_path / "clip"
    path.write_bytes(FILES[kind])
    with pytest.raises(ClipError, match=message) as caught:
        open_clip(path, start_s=start_s, end_s=end_s)
    assert str(caught.value).startswith(f"{path}: ")


@given(st.floats(0.01, 1e5), st.floats(0, 1), st.floats(0, 1))
def test_any_segment_inside_a_file_is_one(file_s, one, other):
    first_s, last_s = sorted((one * file_s, other * file_s))
    if last_s > first_s:
        segment = segment_of("clip", file_s, first_s, last_s)
        assert (segment.start_s, segment.duration_s) == (first_s, last_s - first_s)
        assert segment.sound_s == (first_s, last_s)


def test_a_file_cut_short_says_so_in_seconds_of_the_file():
    video = VideoSpec(times=[i / 10 for i in range(300)], size=(64, 48))
    data = make_media(video, movflags="faststart")
    with open_clip(data[: len(data) // 2], start_s=20.0, end_s=25.0) as clip:
        clip.frames([15])
        assert any("of 25.0 s: its last frame stands for the rest" in warning for warning in clip.warnings)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["mp4", "mkv", "ts"]),
    st.lists(st.integers(0, 399), min_size=1, max_size=6).map(sorted),
    st.sampled_from([None, 3.0]),
)
def test_the_moments_are_those_that_were_asked_for(kind, hundredths, start_s):
    times = [float(Fraction(number, 100)) for number in hundredths]
    with open_clip(FILES[kind], start_s=start_s, times=times) as clip:
        assert [moment.time_s for moment in clip.moments] == times
        assert [moment.index for moment in clip.moments] == list(range(len(times)))
        numbers = [number_of(pixels) for pixels in clip.frames(range(len(times)))]
        assert numbers == [shown_at((start_s or 0) + time_s) for time_s in times]
        assert clip.windows()[0].shape == (len(times), WINDOW_SAMPLES)


def test_times_may_depend_on_the_duration():
    with open_clip(FILES["mp4"], start_s=2.0, end_s=4.0, times=lambda duration_s: [0.0, duration_s]) as clip:
        assert [moment.time_s for moment in clip.moments] == [0.0, 2.0]


@pytest.mark.parametrize(
    ("times", "message"),
    [([5, 2], "fall"), ([-0.1], "outside its"), ([9], "outside"), ([float("nan")], "outside"), ([], "at least 1")],
)
def test_times_outside_the_clip_are_a_clip_error(times, message):
    with pytest.raises(ClipError, match=message):
        open_clip(FILES["mp4"], times=times)


def test_given_times_are_not_moved_to_key_frames():
    with pytest.raises(ValueError, match="leave sampling or times out"):
        open_clip(FILES["mp4"], times=[1.0], sampling="cheap")


def test_what_a_function_of_times_raises_is_its_own():
    with pytest.raises(ZeroDivisionError):
        open_clip(FILES["mp4"], times=lambda duration_s: [duration_s / 0])


@given(st.floats(0, 1e5), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_moments_at_times_have_equal_bins(duration_s, shares):
    times = sorted(share * duration_s for share in shares)
    moments = moments_at(times, duration_s)
    assert [moment.time_s for moment in moments] == times
    assert moments[0].bin_start_s == 0
    assert moments[-1].bin_end_s == pytest.approx(duration_s)


def test_a_recognizer_classifies_a_segment():
    pytest.importorskip("onnxruntime")
    from avgn_edge import Recognizer
    from avgn_edge.bundle.reader import packaged_bundle_path
    from avgn_edge.media.frames import FrameGeometry

    sample = packaged_bundle_path().parent / "sample.mp4"
    with Recognizer.open(device="cpu", threads=1) as recognizer:
        given_ = recognizer.manifest.preprocessing
        geometry = FrameGeometry(given_.resize, given_.frame_size)
        with open_clip(sample, count=given_.moments, geometry=geometry) as clip:
            whole = recognizer.classify(clip)
            same = recognizer.classify(sample, sampling="centre")
            np.testing.assert_array_equal(whole.probabilities, same.probabilities)
        with open_clip(sample, count=given_.moments, geometry=geometry, start_s=1.0, end_s=2.5) as clip:
            part = recognizer.classify(clip)
    assert part.duration_s == pytest.approx(1.5)
    assert [moment.time_s for moment in part.moments] == [pytest.approx((i + 0.5) * 1.5 / 16) for i in range(16)]
    assert np.abs(part.probabilities - whole.probabilities).max() > 1e-3


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_cheap_moments_of_a_segment_are_key_frames_inside_their_bins(kind):
    with open_clip(FILES[kind], count=3, sampling="cheap", start_s=2.5, end_s=7.5) as clip:
        numbers = [number_of(pixels) for pixels in clip.frames(range(3))]
        assert [number % VIDEO.gop for number in numbers] == [0, 0, 0]
        assert [moment.time_s for moment in clip.moments] == [pytest.approx(n / 10 - 2.5) for n in numbers]
