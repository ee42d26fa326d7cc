"""Wrong arguments of the Python API: an `AvgnEdgeError` that says which and what is allowed, and nothing else.

No network runs: what is wrong is told when the call is made.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from network_makers import REAL_COST, FakeBundle, FakeClip, FakeEngine, fake_manifest

import avgn_edge
from avgn_edge._base.arguments import choice, number, whole
from avgn_edge._base.errors import ArgumentError, AvgnEdgeError
from avgn_edge.media import ArrayClip, FrameGeometry, log_mel, open_clip
from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.highlights import HighlightSettings
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.stream.events import EventSettings

CLIP = FakeClip(np.ones(16, dtype=np.bool_))
PICTURE = np.zeros((4, 6, 3), np.uint8)
FRAMES, SOUND = [PICTURE] * 3, np.zeros(4_000, np.float32)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


WRONG_OPTIONS = [
    *[("sampling", value) for value in ("center", "CHEAP", "", None, 1, ["cheap"], b"cheap")],
    *[("top", value) for value in (0, -3, 1.0, "5", None, True, math.nan, 10**5_000 * -1, Unprintable())],
    *[("glances", value) for value in (-1, 17, 1.5, "4", True, [1])],
    *[("looks", value) for value in (0, 17, 2.0, "2", np.ones(2))],
    *[("exit_risk", value) for value in ("0.1", -0.1, 1.0, math.nan, [0.1], True)],
    *[("average", value) for value in (1, 1.5, "fast", "80ms", b"1gflops")],
    *[("budget", value) for value in (2.0, 6, "6", "6 gflop", b"6gflops", ["6gflops"], np.ones(1), Unprintable())],
]
WRONG_SOURCES = [None, 5, [b"a", b"b"], ("a.mp4",), {"a": 1}, PICTURE, np.zeros((2, 4, 6, 3), np.uint8), object()]


@pytest.fixture(scope="module")
def recognizer():
    manifest = fake_manifest(REAL_COST)
    return Recognizer(FakeBundle(manifest), FakeEngine(manifest), "fp32")


@pytest.fixture
def engine(recognizer):
    yield recognizer._engine
    assert not any(recognizer._engine.items.values()), "a graph was run for a wrong argument"


def brief(value: object) -> str:
    return type(value).__name__ if isinstance(value, (Unprintable, np.ndarray, int)) else repr(value)


def refused(name: str, call) -> None:
    """The call raises one line that names the argument."""
    with pytest.raises(AvgnEdgeError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert name in text
    assert len(text) < 300
    assert isinstance(caught.value, (ValueError, TypeError, RuntimeError))


@pytest.mark.parametrize("method", ["classify", "steps", "classify_frames"])
@pytest.mark.parametrize(("name", "value"), WRONG_OPTIONS, ids=brief)
def test_a_wrong_option_is_refused_when_the_call_is_made(method, name, value, recognizer, engine):
    clip = (FRAMES,) if method == "classify_frames" else ("missing.mp4",)
    what = {"exit_risk": "risk"}.get(name, name)
    refused(what, lambda: getattr(recognizer, method)(*clip, **{name: value}))


@pytest.mark.parametrize("method", ["classify", "steps"])
@pytest.mark.parametrize("source", WRONG_SOURCES, ids=lambda value: type(value).__name__)
def test_what_is_no_kind_of_clip_is_refused_when_the_call_is_made(method, source, recognizer, engine):
    refused("clip", lambda: getattr(recognizer, method)(source))


class OnlyRead:
    """What has `read` and nothing else of a file."""

    def read(self, _size=-1):
        return b""


class BytesPath:
    def __fspath__(self):
        return b"missing.mp4"


@pytest.mark.parametrize(("source", "why"), [(OnlyRead(), "seek"), (BytesPath(), "missing.mp4"), ("a\0b", "null")])
def test_what_looks_like_a_file_and_is_none_is_refused(source, why, recognizer, engine):
    refused(why, lambda: recognizer.classify(source))


def test_a_clip_of_other_moments_than_the_bundle_s_is_refused(recognizer, engine):
    with ArrayClip(FRAMES, count=8) as clip:
        refused("8 moments", lambda: recognizer.classify(clip))


def test_options_that_numpy_made_are_as_good(recognizer):
    plain = recognizer.classify(CLIP, top=2, glances=3, looks=2)
    again = recognizer.classify(CLIP, top=np.int64(2), glances=np.int32(3), looks=np.uint8(2))
    assert again.probabilities.tolist() == plain.probabilities.tolist()
    assert len(again.top) == 2
    for items in recognizer._engine.items.values():
        items.clear()


ARRAYS = [
    *[("frame", {"frames": value}) for value in (5, "abc", b"abc", {0: PICTURE}, {1, 2}, iter(FRAMES), np.array(3))],
    *[("frame", {"frames": value}) for value in (PICTURE, [PICTURE / 255], [PICTURE, PICTURE.astype(float)])],
    *[("frame", {"frames": value}) for value in ([[1, 2], [3]], [None], [np.zeros((3, 4, 6), np.uint8)])],
    *[("times", {"times": value}) for value in ([0, 1], [2, 1, 0], [0, 1, math.nan])],
    *[("seconds", {"times": value}) for value in (1.0, ["a", "b", "c"], [None] * 3, np.zeros((3, 2)))],
    *[("rate", {"waveform": SOUND, "sample_rate": value}) for value in (0, -1, None, "16000", math.nan, math.inf)],
    *[("rate", {"waveform": SOUND, "sample_rate": value}) for value in (48, 44_100.5, 10**12, True, [16_000])],
    *[("waveform", {"waveform": value}) for value in (5, "abc", [[1, 2], [3]], np.zeros(9, bool), np.zeros(9, "U1"))],
    *[("waveform", {"waveform": np.zeros(shape)}) for shape in ((9, 0), (0, 900), (900, 901), (2, 32), (2, 2, 900))],
]


@pytest.mark.parametrize(("name", "arguments"), ARRAYS)
def test_arrays_that_are_no_clip_are_refused(name, arguments, recognizer, engine):
    whole_call = {"frames": FRAMES, "sample_rate": 16_000} | arguments
    refused(name, lambda: recognizer.classify_frames(**whole_call))


def test_the_shape_is_said_of_a_waveform_that_cannot_be_understood(recognizer):
    refused("[900, 901]", lambda: recognizer.classify_frames(None, np.zeros((900, 901)), 16_000))


OPENING = [
    *[("bundle", {"bundle": value}) for value in (5, [], b"digits", "no such folder", "")],
    *[("device", {"device": value}) for value in (None, 0, "gpu", ["cpu"])],
    *[("precision", {"precision": value}) for value in (None, 8, "int4", ["fp32"])],
    *[("threads", {"threads": value}) for value in (0, -1, 1.5, "2", True, [1])],
    *[("hwaccel", {"hwaccel": value}) for value in (None, 1, ["cuda"])],
]


@pytest.mark.parametrize(("name", "arguments"), OPENING)
def test_what_cannot_be_opened_is_refused(name, arguments):
    what = "." if arguments.get("bundle") == "" else "no such" if arguments.get("bundle") == "no such folder" else name
    refused(what, lambda: Recognizer.open(**{"device": "cpu"} | arguments))


STREAMS = [
    *[("budget", {"budget": value}) for value in (1.0, "fast", ["1gflops"])],
    *[("every", {"every_s": value}) for value in ("1", 0.0, -1, math.nan, [1], True)],
    *[("top", {"top": value}) for value in (0, -1, 1.5, "1", None)],
    *[("events", {"events": value}) for value in (1, "on", {"on": 0.5}, False)],
    *[("epoch_s", {"epoch_s": value}) for value in ("now", math.inf, -1.0, 1.7e18)],
]


@pytest.mark.parametrize(("name", "arguments"), STREAMS)
def test_a_stream_of_wrong_settings_is_refused_before_a_graph_is_opened(name, arguments, recognizer, engine):
    refused(name, lambda: recognizer.stream(**arguments))


@pytest.mark.parametrize("time_s", ["1", None, math.nan, math.inf, 1e300, [1.0], True])
def test_a_stream_wants_seconds(time_s, recognizer):
    stream = recognizer.stream()
    refused("time", lambda: stream.push_frame(PICTURE, time_s))
    refused("time", lambda: stream.wants_frame(time_s))
    if time_s is not None:
        refused("time", lambda: stream.push_audio(SOUND, 16_000, time_s))
    for items in recognizer._engine.items.values():
        items.clear()


HIGHLIGHTS = [
    *[("budget", {"budget": value}) for value in (2.0, "fast", [1])],
    *[("top", {"top": value}) for value in (0, -3, "5", 1.5, None)],
    *[("settings", {"settings": value}) for value in (1, {"share": 1}, EventSettings())],
    ("progress", {"progress": 5}),
]


@pytest.mark.parametrize(("name", "arguments"), HIGHLIGHTS)
def test_highlights_of_wrong_arguments_are_refused_before_the_video_is_opened(name, arguments, recognizer, engine):
    refused(name, lambda: recognizer.highlights("missing.mp4", **arguments))


@pytest.mark.parametrize("source", WRONG_SOURCES, ids=lambda value: type(value).__name__)
def test_highlights_and_overlays_of_what_is_no_video_are_refused(source, recognizer):
    refused("clip", lambda: recognizer.highlights(source))
    result = recognizer.classify(CLIP, looks=1)
    refused("clip", lambda: result.overlay(source))
    for items in recognizer._engine.items.values():
        items.clear()


OBJECTS = [
    *[("macs", lambda value=value: Budget(macs=value)) for value in (-1, 1.5, "1", True)],
    *[("seconds", lambda value=value: Budget(seconds=value)) for value in (-1.0, math.nan, "1", math.inf)],
    ("asked", lambda: Budget(5)),
    *[(name, lambda name=name: EventSettings(**{name: "x"})) for name in ("on", "off", "smoothing_s", "cooldown_s")],
    *[
        (field.name, lambda name=field.name, value=value: HighlightSettings(**{name: value}))
        for field in dataclasses.fields(HighlightSettings)
        for value in ("x", math.nan, -1.0, None)
    ],
    ("checks", lambda: HighlightSettings(checks=0.6, coverage=0.6)),
    ("crop", lambda: FrameGeometry(100, 200)),
    ("resize", lambda: FrameGeometry("a", 200)),
    ("count", lambda: ArrayClip(FRAMES, count=0)),
    ("geometry", lambda: ArrayClip(FRAMES, geometry=(256, 224))),
    ("duration", lambda: ArrayClip(FRAMES, duration_s="1")),
    ("waveforms", lambda: log_mel(np.zeros(9))),
    *[("sampling", lambda value=value: open_clip(b"x", sampling=value)) for value in ("center", None)],
    *[(name, lambda name=name: open_clip(b"x", **{name: "x"})) for name in ("count", "reach", "decoders", "start_s")],
    ("hwaccel", lambda: open_clip(b"x", hwaccel=None)),
]


@pytest.mark.parametrize(("name", "make"), OBJECTS, ids=[name for name, _ in OBJECTS])
def test_an_object_that_cannot_be_is_refused(name, make):
    refused(name, make)


@pytest.mark.parametrize("use", ["classify", "steps", "stream", "highlights", "save_profile"])
def test_a_closed_recognizer_is_refused_whatever_it_is_used_for(use):
    manifest = fake_manifest(REAL_COST)
    closed = Recognizer(FakeBundle(manifest), FakeEngine(manifest), "fp32")
    closed.close()
    arguments = () if use in {"stream", "save_profile"} else (CLIP,)
    refused("closed", lambda: getattr(closed, use)(*arguments))
    assert "closed" in repr(closed)


def test_the_error_is_the_builtins_that_it_resembles():
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(ArgumentError, TypeError)
    assert avgn_edge.ArgumentError is ArgumentError


def test_checks_return_what_is_right():
    assert (whole("n", np.int8(3), 0), whole("n", 0, 0, 0)) == (3, 0)
    assert number("n", np.float32(0.5), 0, 1) == 0.5
    assert choice("c", "a", ("a", "b")) == "a"
    with pytest.raises(ArgumentError, match="c='x': there is no such choice: give 'a' or 'b'"):
        choice("c", "x", ("a", "b"))
