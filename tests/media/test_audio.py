from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from media_makers import SoundSpec, VideoSpec, click, make_media, song_with_cover, tone

from avgn_edge.media import open_clip
from avgn_edge.media.logmel import WINDOW_SAMPLES, log_mel


def wav(samples: np.ndarray, rate: int, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def click_times(clip) -> list[float]:
    """Where each window that holds the whole click says it is, in seconds of the clip."""
    windows, _ = clip.windows()
    found = []
    for window, moment in zip(windows, clip.moments, strict=True):
        peak = int(np.abs(window).argmax())
        if abs(window[peak]) > 0.3 and 100 < peak < WINDOW_SAMPLES - 100:
            energy = window[peak - 100 : peak + 101].astype(float) ** 2
            centroid = peak + (energy * np.arange(-100, 101)).sum() / energy.sum()
            found.append(moment.time_s + (centroid - WINDOW_SAMPLES / 2) / 16_000)
    return found


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("at_s", [0.3, 2.345, 3.9])
def test_click_stays_where_it_was_in_wav(rate, at_s):
    with open_clip(wav(click(at_s, 4, rate, 2), rate)) as clip:
        times = click_times(clip)
        assert times
        np.testing.assert_allclose(times, at_s, atol=0.001)


@pytest.mark.parametrize(
    ("container", "codec", "fmt", "rate", "atol"),
    [
        ("mp4", "aac", "fltp", 44_100, 0.002),
        ("mp4", "aac", "fltp", 48_000, 0.002),
        ("matroska", "libopus", "flt", 48_000, 0.002),
        ("matroska", "flac", "s16", 44_100, 0.001),
        ("mov", "pcm_s16le", "s16", 22_050, 0.001),
        ("mp4", "libmp3lame", "fltp", 44_100, 0.002),
    ],
)
@pytest.mark.parametrize("at_s", [0.5, 12.345, 59.2])
def test_click_stays_where_it_was_beside_a_video(container, codec, fmt, rate, atol, at_s):
    video = VideoSpec(times=[i / 2 for i in range(120)])
    sound = SoundSpec(click(at_s, 60, rate, 2, width_s=0.002), rate, codec, fmt)
    with open_clip(make_media(video, sound, container), count=200) as clip:
        times = click_times(clip)
        assert times
        np.testing.assert_allclose(times, at_s, atol=atol)


def test_sound_and_video_share_a_clock_that_does_not_start_at_zero():
    video = VideoSpec(times=[5 + i / 10 for i in range(60)])
    sound = SoundSpec(click(2, 6, 44_100), 44_100, start_s=5)
    for container in ("mp4", "matroska", "mpegts"):
        with open_clip(make_media(video, sound, container), count=32) as clip:
            times = click_times(clip)
            assert times, container
            # MPEG-TS carries no edit list: a player hears AAC's priming, 1,024 samples.
            np.testing.assert_allclose(times, 2, atol=0.03 if container == "mpegts" else 0.003)


def test_windows_reach_back_half_a_window_and_are_zero_outside_the_clip():
    with open_clip(wav(np.full((64_000, 1), 0.5), 16_000)) as clip:
        windows, heard = clip.windows()
        assert windows.shape == (16, WINDOW_SAMPLES)
        assert windows.dtype == np.float32
        assert heard.all()
        before = WINDOW_SAMPLES // 2 - 2_000  # the first moment is at 0.125 s
        assert not windows[0, :before].any()
        np.testing.assert_allclose(windows[0, before:], 0.5, atol=1e-3)
        assert not windows[15, -before:].any()
        np.testing.assert_allclose(windows[8], 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("container", "codec", "fmt", "rate"),
    [
        ("mp4", "aac", "fltp", 48_000),
        ("mp4", "aac", "fltp", 22_050),
        ("matroska", "libopus", "flt", 48_000),
        ("mpegts", "aac", "fltp", 48_000),
        ("adts", "aac", "fltp", 48_000),
        ("mp3", "libmp3lame", "fltp", 48_000),
        ("ogg", "libopus", "flt", 48_000),
    ],
)
def test_seeking_hears_what_reading_through_hears(container, codec, fmt, rate):
    """Windows far apart are reached by seeking; they must be those a dense reading gives."""
    sweep = 0.5 * np.sin(2 * np.pi * np.cumsum(np.linspace(200, 3_000, 120 * rate)) / rate)
    data = make_media(None, SoundSpec(sweep[:, np.newaxis].astype(np.float32), rate, codec, fmt), container)
    with open_clip(data, count=8) as few, open_clip(data, count=8 * 31) as many:
        moments = {round(moment.time_s, 6): i for i, moment in enumerate(many.moments)}
        for window, moment in zip(few.windows()[0], few.moments, strict=True):
            other = many.windows()[0][moments[round(moment.time_s, 6)]]
            # A run starts at the nearest sample to its time stamp, which Matroska rounds to milliseconds.
            assert np.abs(log_mel(window[np.newaxis]) - log_mel(other[np.newaxis])).mean() < 0.06
            np.testing.assert_allclose(np.abs(window).max(), np.abs(other).max(), atol=0.05)


@pytest.mark.parametrize(("codec", "channels"), [("aac", 6), ("flac", 2)])
def test_mono_is_the_mean_of_the_channels(codec, channels):
    samples = np.zeros((96_000, channels), np.float32)
    samples[:, 0] = tone(440, 2, 48_000)[:, 0]
    spec = SoundSpec(samples, 48_000, codec, "fltp" if codec == "aac" else "s16")
    with open_clip(make_media(None, spec, "matroska")) as clip:
        window = clip.windows()[0][8]
        assert np.abs(window).max() == pytest.approx(0.5 / channels, rel=0.05)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16")],
)
def test_plain_audio_files(container, subtype):
    with open_clip(wav(tone(440, 3, 44_100, 2), 44_100, subtype, container)) as clip:
        assert clip.duration_s == pytest.approx(3, abs=0.01)
        assert not clip.has_video
        assert clip.has_audio
        windows, heard = clip.windows()
        assert heard.all()
        assert np.abs(windows[8]).max() == pytest.approx(0.5, abs=0.02)
        assert clip.warnings == ()


def test_mp3_with_a_cover_picture_is_sound_alone():
    with open_clip(song_with_cover()) as clip:
        assert not clip.has_video
        assert clip.duration_s == pytest.approx(2, abs=0.1)
        assert clip.windows()[1].all()


def test_gaps_stay_silent_and_do_not_shift_what_follows():
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for second in (0, 1, 4, 5):  # nothing from 2 s to 4 s
            samples = (np.full((1, 16_000), 0.25 + second / 100) * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, second * 16_000
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with open_clip(buffer.getvalue(), count=6) as clip:
        windows, heard = clip.windows()
        np.testing.assert_array_equal(heard, [True, True, False, False, True, True])
        np.testing.assert_allclose(windows[4], 0.29, atol=2e-3)
        np.testing.assert_allclose(windows[5], 0.30, atol=2e-3)


def test_silence_and_no_track_are_not_heard():
    silent = SoundSpec(np.zeros((4 * 44_100, 1), np.float32))
    with open_clip(make_media(VideoSpec(), silent)) as clip:
        assert clip.has_audio
        assert not clip.windows()[1].any()
        assert "no audio track" not in clip.warnings
    with open_clip(make_media(VideoSpec())) as clip:
        assert not clip.has_audio
        windows, heard = clip.windows()
        assert not windows.any()
        assert not heard.any()
        assert "no audio track" in clip.warnings


@pytest.mark.parametrize("sound_s", [1.0, 12.0])
def test_sound_may_be_shorter_or_longer_than_the_video(sound_s):
    with open_clip(make_media(VideoSpec(), SoundSpec(tone(440, sound_s, 44_100)))) as clip:
        assert clip.duration_s == pytest.approx(4, abs=0.11)
        heard = clip.windows()[1]
        assert heard[0]
        assert heard[15] == (sound_s > 4)


def test_the_sound_of_a_long_clip_takes_no_more_reading_than_that_of_a_short_one():
    """Of the video beside it little is read either: there are a hundred times as many bytes of it."""
    rng = np.random.default_rng(0)

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            found = super().read(size)
            self.taken += len(found)
            return found

    taken, sizes = [], []
    for seconds in (120, 360):
        video = VideoSpec(times=range(0, seconds, 2), codec="rawvideo", size=(512, 256), b_frames=0)
        samples = (0.1 * rng.standard_normal((seconds * 8_000, 1))).astype(np.float32)
        sound = SoundSpec(samples, 8_000, "pcm_s16le", "s16")
        source = Counting(make_media(video, sound, "mov"))
        with open_clip(source, count=16) as clip:
            before = source.taken
            assert clip.windows()[1].all()
            taken.append(source.taken - before)
            sizes.append(len(source.getbuffer()))
    assert sizes[1] > 2.5 * sizes[0]
    assert taken[1] < 1.1 * taken[0]
    assert taken[1] < 0.15 * sizes[1]
