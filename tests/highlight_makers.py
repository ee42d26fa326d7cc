"""A network that hears loudness and sees brightness, and a minute of video whose events are known."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from network_makers import FakeBundle, FakeEngine, fake_manifest

from avgn_edge.runtime.highlights.result import Highlights, Segment, Spending, Timeline
from avgn_edge.runtime.recognizer import Recognizer

LENGTH_S, FPS, RATE = 60, 5, 16_000
BOTH, HEARD, SEEN = (20.0, 23.0), (40.0, 43.0), (50.0, 53.0)
"""When there is an event, in seconds."""
COST = {
    "audio_encoder": (1_000, 10_000_000),
    "global_encoder": (0, 300_000_000),
    "saliency": (6_000_000, 0),
    "spatial": (20_000_000, 0),
    "local_encoder": (0, 98_000_000),
    "classifier": (3_000_000, 0),
}


class SenseEngine(FakeEngine):
    """Class 1 is loud or bright; anything else is any class. What is loud or bright is salient."""

    def answer(self, graph, inputs):
        s = self._settings
        first = next(iter(inputs.values()))
        self.items[graph].append(len(first) if graph.endswith("_encoder") else 1)
        if graph == "audio_encoder":
            loud = first.mean(axis=(1, 2, 3)) > -1.0  # silence is -6.9, the faint noise -4
            features = np.repeat(loud[:, None], s.audio_dim, axis=1).astype(np.float32)
            return {"features": features, "logits": self._logits(np.array([loud.any()]))}
        if graph == "global_encoder":
            bright = first.mean(axis=(1, 2, 3)) > 128
            features = np.repeat(bright[:, None], s.global_dim, axis=1).astype(np.float32)
            maps = np.zeros((len(first), s.global_dim, 2, 2), np.float32)
            return {"feature_map": maps, "features": features, "logits": self._logits(bright)}
        assert graph == "saliency"
        heard = inputs["audio"][:, 0] * inputs["heard"]
        seen = inputs["visual"][:, 0] * inputs["glanced"]
        return {"saliency": np.maximum(np.maximum(heard, seen), 0.1).astype(np.float32)}

    def _logits(self, event):
        logits = np.zeros((len(event), self._labels), np.float32)
        logits[:, 1] = 6.0 * event
        return logits


def sense_recognizer(cost=COST):
    manifest = fake_manifest(cost)
    engine = SenseEngine(manifest)
    return Recognizer(FakeBundle(manifest), engine, "fp32"), engine


def spent_macs(engine, cost=COST):
    return sum(fixed + each * items for name, (fixed, each) in cost.items() for items in engine.items[name])


def write_minute(path, *, video=True, sound=True, silent=False, gop=10):
    """A minute of dark frames and faint noise, with the three events."""
    with av.open(str(path), "w") as output:
        streams = []
        if video:
            stream = output.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.options = {"preset": "ultrafast", "g": str(gop), "sc_threshold": "0"}
            streams.append((stream, _frames()))
        if sound:
            codec = "pcm_s16le" if path.suffix == ".wav" else "aac"
            stream = output.add_stream(codec, rate=RATE, layout="mono")
            streams.append((stream, _sounds(silent)))
        for stream, frames in streams:
            for frame in frames:
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


def _frames():
    for index in range(LENGTH_S * FPS):
        bright = any(start <= index / FPS < end for start, end in (BOTH, SEEN))
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 235 if bright else 20, np.uint8), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        yield frame


def _sounds(silent):
    times = np.arange(LENGTH_S * RATE) / RATE
    samples = np.random.default_rng(0).normal(0, 0.0 if silent else 5e-4, len(times))
    for start, end in () if silent else (BOTH, HEARD):
        samples += 0.4 * ((times >= start) & (times < end)) * np.random.default_rng(1).uniform(-1, 1, len(times))
    whole = np.clip(samples * 32_767, -32_768, 32_767).astype(np.int16)
    for start in range(0, len(whole), 1_024):
        frame = av.AudioFrame.from_ndarray(whole[None, start : start + 1_024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        yield frame


def made_highlights(*spans, video="talk.mp4", duration_s=120.0, scores=None):
    """Highlights with these (start, end), the best first."""
    segments = tuple(
        Segment(rank, start, end, (start + end) / 2, 1 - rank / 10, "dog", 0.9)
        for rank, (start, end) in enumerate(spans, start=1)
    )
    times = np.arange(0.5, duration_s, 1.0)
    values = np.zeros(len(times), np.float32) if scores is None else np.asarray(scores, np.float32)
    flags = np.zeros(len(times), np.bool_)
    spending = Spending("none", None, 1.0, 10.0, 0, len(times))
    line = Timeline(times, values, values, flags, flags)
    return Highlights(video, duration_s, segments, spending, "cpu", "fp32", "made", (), line)
