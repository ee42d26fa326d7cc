"""Sound of any number of channels, and of channels that cancel each other when they are mixed."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from media_makers import tone

from avgn_edge.media import ArrayClip, open_clip
from avgn_edge.media.resample import Resampler, mixed
from avgn_edge.runtime.stream.buffers import SoundRing, sound_frames

RATE = 48_000
KINDS = [
    ("pcm_s16le", "s16", "6.1", "matroska"),
    ("pcm_s16le", "s16", "7.1", "mov"),
    ("pcm_f32le", "flt", "9 channels", "matroska"),
    ("pcm_f32le", "flt", "9 channels", "wav"),
    ("pcm_s16le", "s16", "hexadecagonal", "mov"),
    ("pcm_s16le", "s16", "22.2", "matroska"),
    ("pcm_s16le", "s16", "22.2", "wav"),
    ("flac", "s16", "7.1", "flac"),
    ("flac", "s16", "7.1", "matroska"),
    ("aac", "fltp", "6.1(back)", "mp4"),
    ("aac", "fltp", "7.1", "mp4"),
    ("aac", "fltp", "hexadecagonal", "mp4"),
    ("libopus", "flt", "7.1", "matroska"),
    ("libopus", "flt", "7.1", "ogg"),
    ("wavpack", "s16p", "9 channels", "matroska"),
]


def encoded(codec: str, sample_format: str, layout: str, container: str, samples: np.ndarray) -> bytes:
    """A file of `samples`, float32 [n, channels], which are given to the encoder packed: planes are the fault."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout=layout)
        stream.codec_context.format = sample_format
        for start in range(0, len(samples), 1_024):
            block = np.ascontiguousarray(samples[start : start + 1_024].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def in_one_of(channels: int) -> np.ndarray:
    samples = np.zeros((2 * RATE, channels), np.float32)
    samples[:, 0] = tone(440, 2, RATE)[:, 0]
    return samples


@pytest.mark.parametrize(("codec", "sample_format", "layout", "container"), KINDS)
def test_mono_is_the_mean_of_any_number_of_channels(codec, sample_format, layout, container):
    channels = av.AudioLayout(layout).nb_channels
    assert channels >= 7
    data = encoded(codec, sample_format, layout, container, in_one_of(channels))
    with open_clip(data) as clip:
        windows, heard = clip.windows()
        assert heard.all()
        assert np.abs(windows[8]).max() * channels == pytest.approx(0.5, abs=0.01)
        assert clip.warnings == ()


def test_planar_frames_of_many_channels_in_streams_and_resamplers():
    data = encoded("aac", "fltp", "7.1", "adts", in_one_of(8))
    ring, resampler, given = SoundRing(4.0), Resampler(), []
    with av.open(io.BytesIO(data)) as file:
        for frame in file.decode(audio=0):
            time_s = frame.time
            assert frame.format.is_planar
            for piece in sound_frames(frame, None):
                ring.push(piece, time_s)
            given.append(resampler.push(frame))
    ring.end_run()
    given.append(resampler.end())
    for found in (ring.window(1.0)[0], np.concatenate(given)[8_000:24_000]):
        assert np.abs(found).max() * 8 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("channels", [7, 8, 9, 16, 24])
def test_arrays_of_any_number_of_channels(channels):
    with ArrayClip(None, in_one_of(channels), RATE) as clip:
        windows, heard = clip.windows()
        assert heard.all()
        assert np.abs(windows[8]).max() * channels == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("container", ["matroska", "wav"])
def test_channels_wired_crosswise_are_heard(container):
    left = tone(440, 2, RATE)[:, 0]
    data = encoded("pcm_s16le", "s16", "stereo", container, np.stack([left, -left], axis=1))
    with open_clip(data) as clip:
        windows, heard = clip.windows()
        assert heard.all()
        assert np.abs(windows[8]).max() == pytest.approx(0.5, abs=0.01)


def test_of_channels_that_cancel_each_other_the_loudest_is_taken():
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (5, 4_000)).astype(np.float32)
    np.testing.assert_array_equal(mixed(np.stack([noise[0], -1.05 * noise[0]])), -np.float32(1.05) * noise[0])
    for kept in (noise, noise[:1], np.stack([noise[0], 0 * noise[0]]), np.stack([noise[0], -0.7 * noise[0]])):
        np.testing.assert_array_equal(mixed(kept), kept.mean(axis=0, dtype=np.float32))
    assert not mixed(np.zeros((2, 10), np.float32)).any()
