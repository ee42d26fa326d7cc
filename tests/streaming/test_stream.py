"""`Stream`: what is fed comes out as moments, inside the budget and in constant memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque

import av
import numpy as np
import pytest
from network_makers import (
    LABELS,
    REAL_COST,
    FakeBundle,
    FakeEngine,
    ItemwiseEngine,
    fake_manifest,
    made_clip,
    sound,
    texture,
)

from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.architectures.avgn.steps import AvgnSteps
from avgn_edge.runtime.moments_table import MomentsTable
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.stream.events import EventSettings

RATE = 16_000
NOISE = (0.1 * np.random.default_rng(0).normal(size=RATE)).astype(np.float32)


def fake_recognizer(engine_class=FakeEngine, **changes):
    manifest = fake_manifest(REAL_COST, **changes)
    engine = engine_class(manifest)
    return Recognizer(FakeBundle(manifest), engine, "fp32"), engine


def packaged():
    pytest.importorskip("onnxruntime")
    return Recognizer.open(device="cpu", precision="fp32", threads=1)


def flat(value=0, size=(48, 64)):
    return np.full((*size, 3), value % 256, dtype=np.uint8)


def feed(stream, begin_s, end_s, *, video=True, audio=True, fps=5.0, piece_s=0.2, frame=flat):
    """Play so many seconds of frames and noise, interleaved as a camera would; return the updates."""
    updates, events = [], []
    if video:
        events += [(at, "frame") for at in np.arange(begin_s, end_s, 1 / fps)]
    if audio:
        events += [(at, "sound") for at in np.arange(begin_s, end_s, piece_s)]
    for at, kind in sorted(events):
        if kind == "frame":
            updates += stream.push_frame(frame(int(at * fps)), float(at))
        else:
            updates += stream.push_audio(NOISE[: round(piece_s * RATE)], RATE, float(at))
    return updates


def test_moments_come_at_their_pace_and_once_their_sound_is_there():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream(every_s=0.5)
    updates = feed(stream, 0.0, 20.0)
    assert [update.count for update in updates] == list(range(1, len(updates) + 1))
    np.testing.assert_allclose(np.diff([update.time_s for update in updates]), 0.5, atol=1e-9)
    # 0.49 s of sound after a moment, and what the resampler holds.
    assert 20.0 - 0.5 - 0.4875 - 0.25 - 0.25 <= updates[-1].time_s <= 20.0 - 0.4875
    assert all(len(update.moments) == min(update.count, 16) for update in updates)


def test_each_moment_costs_one_run_of_f_a_on_one_item_and_at_most_one_glance_and_look():
    recognizer, engine = fake_recognizer()
    stream = recognizer.stream()
    for runs in engine.items.values():
        runs.clear()
    updates = feed(stream, 0.0, 15.0)
    assert engine.items["audio_encoder"] == [1] * len(updates)
    assert engine.items["global_encoder"] == [1] * len(updates)
    assert engine.items["local_encoder"] == [1] * len(updates)
    assert all(update.moment.glanced and update.moment.heard for update in updates)


@pytest.mark.parametrize("budget", ["60mflops", "150mflops", "400mflops", "2gflops"])
def test_no_second_costs_more_than_the_budget_and_its_bucket(budget):
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream(budget)
    updates = feed(stream, 0.0, 60.0)
    limit = float(budget.removesuffix("gflops").removesuffix("mflops")) / (1 if "gflops" in budget else 1000)
    for first in range(len(updates)):
        inside = [u for u in updates[first:] if u.time_s < updates[first].time_s + 1.0]
        assert sum(u.gflops for u in inside) <= limit + stream._bucket.size / 1e9 + 1e-9
    spent = sum(update.gflops for update in updates)
    assert spent <= limit * 60.0 + stream._bucket.size / 1e9
    seen = sum(update.moment.glanced for update in updates)
    assert seen > 0 if budget != "60mflops" else seen >= 2
    if budget == "2gflops":
        assert seen == len(updates)


def test_less_budget_leaves_out_glances_and_never_listening():
    recognizer, _ = fake_recognizer()
    by_budget = [feed(recognizer.stream(budget), 0.0, 40.0) for budget in ("100mflops", "300mflops", "none")]
    glances = [sum(update.moment.glanced for update in updates) for updates in by_budget]
    assert glances[0] < glances[1] < glances[2]
    assert all(update.moment.heard for updates in by_budget for update in updates)


def test_a_budget_that_does_not_cover_listening_is_refused():
    recognizer, _ = fake_recognizer()
    with pytest.raises(BudgetError, match=r"listening every 0\.6 s alone costs more: give at least 34mflops"):
        recognizer.stream("30mflops")
    recognizer.stream("34mflops")
    with pytest.raises(BudgetError, match=r"give 0\.05 to 60 seconds"):
        recognizer.stream(every_s=0.0)


def test_a_time_budget_is_met_by_leaving_out_glances():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream("10s")  # as much as a machine could want
    assert all(update.moment.glanced for update in feed(stream, 0.0, 6.0))
    with pytest.raises(BudgetError, match="alone takes longer"):
        recognizer.stream("0.0001ms")


def test_frames_are_converted_only_when_one_is_due():
    recognizer, engine = fake_recognizer()
    stream = recognizer.stream(every_s=0.5)
    shown = []

    def frame(number):
        shown.append(number)
        return flat(number)

    engine.frames_seen.clear()
    updates = feed(stream, 0.0, 10.0, fps=30.0, frame=frame)
    assert len(shown) == 300
    assert stream._frames._converter.conversions <= len(updates) + 3
    for update, pixels in zip(updates, engine.frames_seen, strict=True):
        assert int(pixels[0, 0, 0]) == pytest.approx(np.ceil(round(update.time_s * 30, 6)) % 256, abs=1)
    assert stream.wants_frame(11.0)
    assert not stream.wants_frame(9.98)


def test_the_window_is_what_the_graphs_say_of_the_same_sixteen_moments():
    recognizer = packaged()
    stream, rng = recognizer.stream(every_s=1.0), np.random.default_rng(3)
    waveform, pictures = sound(rng, np.ones(20, dtype=bool)), [texture(rng) for _ in range(20)]
    updates = []
    for second in range(20):
        updates += stream.push_audio(waveform[second * RATE : (second + 1) * RATE], RATE, float(second))
        updates += stream.push_frame(pictures[second], second + 0.4875)
    updates += stream.finish()
    last = updates[16]
    assert [moment.time_s for moment in last.moments] == [second + 0.4875 for second in range(1, 17)]
    from avgn_edge.media.frames import FrameConverter, FrameGeometry
    from avgn_edge.media.logmel import log_mel
    from avgn_edge.runtime.budget import Budget

    runner, _ = recognizer._account(Budget())
    seen = MomentsTable.empty(16, recognizer.manifest.settings.audio_dim, recognizer.manifest.settings.global_dim)
    steps = AvgnSteps(recognizer.manifest, seen, runner)
    windows = np.stack([waveform[second * RATE : second * RATE + 15_600] for second in range(1, 17)])
    seen.heard[:] = True
    steps.listen(log_mel(windows), seen.heard)
    convert = FrameConverter(FrameGeometry()).rgb
    frames = [convert(av.VideoFrame.from_ndarray(pictures[second], format="rgb24")) for second in range(1, 17)]
    steps.glance(np.stack(frames), range(16))
    np.testing.assert_allclose([moment.saliency for moment in last.moments], steps.score(), atol=2e-3)


def test_without_looks_the_answer_is_that_of_the_auxiliary_heads():
    recognizer, _ = fake_recognizer(ItemwiseEngine)
    stream, rng = recognizer.stream(top=len(LABELS)), np.random.default_rng(1)
    updates = []
    for second in range(20):
        updates += stream.push_audio(rng.normal(0, 0.1, RATE).astype(np.float32), RATE, float(second))
    heads = np.mean(list(stream._policy.seen.sound_probabilities.values()), axis=0)
    expected = {label: pytest.approx(float(p), abs=1e-6) for label, p in zip(LABELS, heads, strict=True)}
    assert {score.label: score.score for score in updates[-1].top} == expected


def test_a_moment_that_was_only_heard_says_what_its_sound_says():
    recognizer, _ = fake_recognizer(ItemwiseEngine)
    update = feed(recognizer.stream(), 0.0, 3.0, video=False)[0]
    assert update.moment.label == update.label
    assert update.moment.score == pytest.approx(update.score, rel=1e-5)


def test_sound_that_stops_is_not_heard_and_video_goes_on():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream()
    updates = feed(stream, 0.0, 10.0)
    updates += feed(stream, 10.0, 20.0, audio=False)
    assert updates[-1].time_s > 19.0
    assert not updates[-1].moment.heard
    assert updates[-1].moment.glanced
    updates = feed(stream, 20.0, 26.0)
    assert updates[-1].moment.heard
    assert updates[-1].time_s > 24.5


def test_video_that_stops_is_not_seen_and_sound_goes_on():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream()
    feed(stream, 0.0, 10.0)
    updates = feed(stream, 10.0, 20.0, video=False)
    assert updates[-1].time_s > 18.5
    assert updates[-1].moment.heard
    assert not updates[-1].moment.glanced
    assert feed(stream, 20.0, 25.0)[-1].moment.glanced


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_one_of_sound_and_video_is_enough(kind):
    recognizer, _ = fake_recognizer()
    updates = feed(recognizer.stream(), 0.0, 10.0, video=kind == "video", audio=kind == "audio")
    assert len(updates) >= 12
    assert {(update.moment.heard, update.moment.glanced) for update in updates} == {(kind == "audio", kind == "video")}


def test_nothing_to_see_or_hear_is_no_answer_and_no_event():
    recognizer, engine = fake_recognizer()
    stream = recognizer.stream()
    for runs in engine.items.values():
        runs.clear()
    updates = [u for at in range(10) for u in stream.push_audio(np.zeros(RATE, dtype=np.float32), RATE, float(at))]
    assert updates
    assert updates[-1].score == pytest.approx(1 / len(LABELS))
    assert updates[-1].moment.label is None
    assert not any(engine.items.values())


def test_the_size_of_frames_may_change():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream()
    small = feed(stream, 0.0, 5.0)[-1].moment
    large = feed(stream, 5.0, 10.0, frame=lambda number: flat(number, (480, 640)))[-1].moment
    assert large.box is not None
    assert small.box is not None
    assert large.box[2] == pytest.approx(10 * small.box[2])


@pytest.mark.parametrize("to_s", [0.0, 500.0])
def test_time_that_jumps_begins_a_new_window_and_ends_what_was_running(to_s):
    recognizer, _ = fake_recognizer()
    easy = EventSettings(on=1e-6, off=1e-7, cooldown_s=0.0)
    stream = recognizer.stream(events=easy)
    before = feed(stream, 100.0, 110.0)
    running = {event.label for update in before for event in update.events if event.event == "start"}
    after = feed(stream, to_s, to_s + 5.0)
    assert after[0].count == before[-1].count + 1
    fresh = next(update for update in after if update.time_s >= to_s and abs(update.time_s - to_s) < 2)
    assert len(fresh.moments) == 1
    assert running <= {event.label for u in before + after for event in u.events if event.event == "end"}


def test_a_stream_that_is_finished_ends_its_events_and_can_go_on():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream(events=EventSettings(on=1e-6, off=1e-7, cooldown_s=0.0))
    updates = feed(stream, 0.0, 8.0) + list(stream.finish())
    starts = [event.label for update in updates for event in update.events if event.event == "start"]
    ends = [event.label for update in updates for event in update.events if event.event == "end"]
    assert starts
    assert sorted(starts) == sorted(ends)
    assert updates[-1].time_s > 7.0  # those that waited for sound were run
    assert stream.finish() == ()
    assert feed(stream, 0.0, 3.0)[0].moments[0].time_s < 1.0


def test_after_years_moments_still_lie_where_they_should():
    recognizer, _ = fake_recognizer()
    stream, begin_s = recognizer.stream(every_s=0.6), 1e8
    updates = feed(stream, begin_s, begin_s + 30.0)
    steps = np.diff([update.time_s for update in updates])
    np.testing.assert_allclose(steps, 0.6, atol=1e-6)
    assert all(update.moment.heard and update.moment.glanced for update in updates)


def test_samples_that_say_no_time_follow_those_before():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream()
    updates = [update for _ in range(10) for update in stream.push_audio(NOISE, RATE)]
    assert 8.0 < updates[-1].time_s < 9.6
    assert all(update.moment.heard for update in updates)


def test_a_minute_at_once_is_as_good_as_in_pieces():
    one, other = fake_recognizer(ItemwiseEngine)[0].stream(), fake_recognizer(ItemwiseEngine)[0].stream()
    minute = np.tile(NOISE, 60)
    at_once = one.push_audio(minute, RATE, 0.0)
    pieces = [update for at in range(60) for update in other.push_audio(NOISE, RATE, float(at))]
    assert [u.time_s for u in at_once] == [u.time_s for u in pieces]
    assert [u.label for u in at_once] == [u.label for u in pieces]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("push_frame", (np.zeros((4, 4), dtype=np.uint8), 0.0)),
        ("push_frame", (flat(), float("nan"))),
        ("push_audio", (NOISE, 0, 0.0)),
        ("push_audio", (NOISE, RATE, float("inf"))),
        ("push_audio", ([0.0] * 10, RATE, 0.0)),
    ],
)
def test_what_is_no_frame_or_no_sound_is_refused(name, arguments):
    recognizer, _ = fake_recognizer()
    with pytest.raises(ClipError):
        getattr(recognizer.stream(), name)(*arguments)


def test_memory_does_not_grow_with_the_stream():
    recognizer, engine = fake_recognizer()
    engine.frames_seen = deque(maxlen=1)  # what the fake remembers would grow
    engine.items = {graph: deque(maxlen=1) for graph in engine.items}
    stream = recognizer.stream("400mflops")  # so that some frames wait for a look that never comes

    def remembered(begin_s):
        feed(stream, begin_s, begin_s + 30.0, fps=2.0, piece_s=0.5)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        sizes = [remembered(30.0 * turn) for turn in range(6)]
    finally:
        tracemalloc.stop()
    frame = 224 * 224 * 3
    assert max(sizes) < 17 * frame + 1_000_000
    assert abs(sizes[-1] - sizes[1]) < 3 * frame  # as many frames as happen to wait


def test_pictures_are_let_go_without_waiting_for_the_garbage_collector():
    recognizer, _ = fake_recognizer()
    stream = recognizer.stream()
    frames = [av.VideoFrame.from_ndarray(flat(number), format="rgb24") for number in range(30)]
    for time_s in (0.0, 0.6):  # of one a size, how it is turned is read, which costs just that
        stream.push_frame(frames.pop(), time_s)
    gc.collect()
    gc.disable()
    try:
        for number in range(28):
            stream.push_frame(frames.pop(), 1.0 + number / 2)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_update_is_json():
    import json

    recognizer, _ = fake_recognizer()
    told = json.loads(json.dumps(feed(recognizer.stream(), 0.0, 12.0)[-1].to_dict(), allow_nan=False))
    assert told["event"] == "update"
    assert len(told["saliency"]) == 16
    assert len(told["moment"]["box"]) == 4


def test_a_real_clip_fed_as_a_stream_is_answered():
    recognizer = packaged()
    stream, clip = recognizer.stream("500mflops"), made_clip(5)
    updates = []
    for number in range(32):
        updates += stream.push_frame(np.asarray(clip._frames[number]), number / 2)
        updates += stream.push_audio(clip._pcm.read(number * RATE // 2, (number + 1) * RATE // 2), RATE, number / 2)
    assert len(updates) > 20
    assert all(abs(sum(score.score for score in update.top) - 1) < 0.5 for update in updates)
