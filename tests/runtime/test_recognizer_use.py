"""What programs do with a `Recognizer`: sources, steps, threads, budgets, mistakes."""

from __future__ import annotations

import copy
import dataclasses
import io
import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from media_makers import SoundSpec, VideoSpec, make_media, tone
from network_makers import RATE, FakeBundle, FakeEngine, fake_manifest, made_clip, sound, texture

from avgn_edge._base.errors import BudgetError, BundleError, ClipError
from avgn_edge.media.array_clip import ArrayClip
from avgn_edge.runtime.recognizer import Recognizer

pytest.importorskip("torch")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def recognizer(tiny_bundle, device):
    with Recognizer.open(tiny_bundle, device, "fp32") as opened:
        yield opened


@pytest.fixture(scope="module")
def movie():
    video = VideoSpec(times=[i / 5 for i in range(20)])
    return make_media(video, SoundSpec(tone(440, 4, 44_100)))


def without_time(result):
    answer = result.to_dict()
    del answer["timing_ms"]
    return answer


def gflops(macs):
    return f"{macs / 1e6:.6f}mflops"


# ---- sources --------------------------------------------------------------------------------------------------------


def test_a_path_a_file_object_and_bytes_of_one_file_give_one_answer(recognizer, movie, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(movie)
    with path.open("rb") as file:
        results = [recognizer.classify(source, looks=2) for source in (path, str(path), movie, io.BytesIO(movie), file)]
    answers = [without_time(result) | {"clip": ""} for result in results]
    assert all(answer == answers[0] for answer in answers[1:])
    assert results[0].clip.endswith("clip.mp4")
    assert results[0].duration_s == pytest.approx(4, abs=0.3)


def test_frames_and_a_waveform_of_a_program_give_the_answer_of_their_clip(recognizer):
    rng = np.random.default_rng(4)
    frames = [texture(rng) for _ in range(20)]
    waveform = sound(rng, np.ones(10, dtype=bool))
    times = [i / 2 for i in range(20)]
    direct = recognizer.classify_frames(frames, waveform, RATE, times)
    with ArrayClip(frames, waveform, RATE, times) as clip:
        assert without_time(recognizer.classify(clip)) == without_time(direct)
    assert recognizer.classify_frames(np.stack(frames), waveform, RATE, times).label == direct.label
    assert recognizer.classify_frames(frames).warnings == ("no audio track",)
    assert recognizer.classify_frames(None, waveform, RATE).exit == "no-visual"
    assert len(recognizer.classify_frames(frames, top=2).top) == 2
    with pytest.raises(ClipError):
        recognizer.classify_frames(None)


def test_frames_of_a_program_are_cut_as_the_bundle_says():
    """A bundle of another frame size gets frames of that size, from arrays as from files."""
    manifest = fake_manifest(
        dict.fromkeys(("audio_encoder", "global_encoder", "saliency"), (0, 1))
        | dict.fromkeys(("spatial", "local_encoder", "classifier"), (0, 1))
    )
    manifest = dataclasses.replace(
        manifest, preprocessing=dataclasses.replace(manifest.preprocessing, resize=144, frame_size=128)
    )
    engine = FakeEngine(manifest)
    engine._travel = 128 - 96
    Recognizer(FakeBundle(manifest), engine, "fp32").classify_frames([texture(np.random.default_rng(0))] * 3)
    assert {frame.shape for frame in engine.frames_seen} == {(128, 128, 3)}


def test_a_clip_of_the_caller_stays_open_and_one_of_ours_is_closed(recognizer, movie, monkeypatch):
    with made_clip(1) as clip:
        closed = []
        monkeypatch.setattr(clip, "close", lambda: closed.append(True))
        recognizer.classify(clip, looks=1)
        assert closed == []
    opened = []
    from avgn_edge.media import opening

    real = opening.open_clip
    monkeypatch.setattr(opening, "open_clip", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])
    steps = recognizer.steps(movie, looks=2)
    next(steps)
    steps.close()  # a caller that has seen enough
    with pytest.raises((ClipError, ValueError)):
        opened[0].frames([0])


@pytest.mark.parametrize("source", [b"", b"not a video", "missing.mp4"])
def test_a_source_that_cannot_be_read_is_a_clip_error(source, recognizer):
    with pytest.raises(ClipError):
        recognizer.classify(source)


# ---- steps, frames and budgets ------------------------------------------------------------------------------------


def test_the_last_step_is_the_answer(recognizer):
    for budget in (None, "100mflops", "10s"):
        with made_clip(5) as clip:
            steps = list(recognizer.steps(clip, budget, looks=3))
        with made_clip(5) as clip:
            answer = recognizer.classify(clip, budget, looks=3)
        assert without_time(steps[-1]) == without_time(answer)
        np.testing.assert_array_equal(steps[-1].probabilities, answer.probabilities)
        spent = [result.budget.spent_gflops for result in steps]
        assert spent == sorted(spent)
        assert all(a.runs == b.runs[: len(a.runs)] for a, b in itertools.pairwise(steps))


def prices(recognizer):
    cost = recognizer.manifest.cost
    look = sum(cost[name].macs(1) for name in ("spatial", "local_encoder", "classifier"))
    return cost["audio_encoder"].macs(16), cost["global_encoder"].macs(1), cost["saliency"].macs(1), look


def test_below_one_look_exactly_the_glances_are_converted(recognizer):
    audio, glance, saliency, look = prices(recognizer)
    # Up to the price of the first look there are glances alone, as many as fit and T_G at most.
    for glances in range(1, 1 + min(8, (saliency + glance + look - 1) // glance)):
        with made_clip(6) as clip:
            result = recognizer.classify(clip, gflops(audio + glances * glance), glances=8)
            assert clip.conversions == glances
        assert (result.exit, result.budget.glance, result.budget.looks) == ("budget", glances, 0)
        assert sum(run.items for run in result.runs if run.graph == "global_encoder") == glances


def test_the_price_of_the_sound_alone_converts_no_frame(recognizer):
    audio, *_ = prices(recognizer)
    with made_clip(6) as clip:
        result = recognizer.classify(clip, gflops(audio))
        assert clip.conversions == 0
    assert (result.exit, [run.graph for run in result.runs]) == ("budget", ["audio_encoder"])
    with made_clip(6) as clip, pytest.raises(BudgetError, match=r"give at least \d+mflops"):
        recognizer.classify(clip, gflops(audio - 1))


def test_sound_without_pictures_converts_no_frame(recognizer):
    with made_clip(6, video=False) as clip:
        result = recognizer.classify(clip)
        assert clip.conversions == 0
    assert result.exit == "no-visual"


def test_an_early_exit_converts_fewer_frames(tiny_bundle):
    def classified(confidence):
        manifest = dataclasses.replace(
            tiny_bundle.manifest, exits=dataclasses.replace(tiny_bundle.manifest.exits, confidence=confidence)
        )
        bundle = copy.copy(tiny_bundle)
        object.__setattr__(bundle, "manifest", manifest)
        with Recognizer.open(bundle, "cpu", "fp32") as recognizer, made_clip(7) as clip:
            result = recognizer.classify(clip, glances=2, looks=16)
            return result, clip.conversions

    (whole, all_of_them), (early, few) = classified(None), classified(0.01)
    assert (whole.exit, whole.budget.looks, all_of_them) == ("looks", 16, 16)
    assert (early.exit, early.budget.looks) == ("confident", 1)
    assert few == early.budget.glance < all_of_them
    assert early.budget.spent_gflops < whole.budget.spent_gflops


def test_the_bundle_s_own_glances_and_looks_are_the_default(recognizer):
    with made_clip(8) as clip:
        result = recognizer.classify(clip)
    settings = recognizer.manifest.settings
    assert result.budget.looks == settings.looks
    assert settings.glances <= result.budget.glance <= settings.glances + settings.looks


@pytest.mark.parametrize("wrong", [{"glances": -1}, {"glances": 17}, {"looks": 0}, {"looks": 17}])
def test_settings_outside_the_moments_are_a_value_error(wrong, recognizer):
    with made_clip(1) as clip, pytest.raises(ValueError, match=r"must lie in"):
        recognizer.classify(clip, **wrong)


@pytest.mark.parametrize("budget", ["6", "fast", "0gflops", "1mflops"])
def test_a_budget_that_buys_nothing_is_an_error_before_the_clip_is_read(budget, recognizer):
    with pytest.raises(BudgetError):
        recognizer.classify("missing.mp4", budget)


# ---- results ------------------------------------------------------------------------------------------------------


def test_the_json_has_the_contract_s_fields(recognizer):
    with made_clip(9, "some") as clip:
        answer = json.loads(json.dumps(recognizer.classify(clip, "10gflops", looks=2).to_dict(), allow_nan=False))
    assert list(answer) == [
        *("clip", "duration_s", "label", "score", "top", "budget", "exit", "moments", "timing_ms"),
        *("device", "precision", "model", "warnings"),
    ]
    assert set(answer["budget"]) == {"asked", "spent_gflops", "glance", "looks"}
    assert len(answer["moments"]) == 16
    for moment in answer["moments"]:
        assert set(moment) == {"index", "time_s", "saliency", "glanced", "rank", "box", "label", "score"}
        if moment["box"]:
            x, y, width, height = moment["box"]
            assert 0 <= x <= x + width <= 160 + 1e-3
            assert 0 <= y <= y + height <= 120 + 1e-3
    assert set(answer["timing_ms"]) == {
        *("decode", "audio", "glance", "saliency", "spatial", "local", "classify", "total"),
    }
    assert answer["timing_ms"]["total"] >= max(v for k, v in answer["timing_ms"].items() if k != "total")


def test_a_result_is_frozen(recognizer):
    with made_clip(9) as clip:
        result = recognizer.classify(clip, looks=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.label = "other"


# ---- life -----------------------------------------------------------------------------------------------------------


def test_eight_threads_give_the_answers_of_one(recognizer):
    def classified(seed):
        with made_clip(seed, "some" if seed % 2 else "all") as clip:
            return recognizer.classify(clip, looks=3)

    seeds = [11, 12] * 8
    alone = {seed: classified(seed) for seed in set(seeds)}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(classified, seeds))
    for seed, result in zip(seeds, together, strict=True):
        np.testing.assert_allclose(result.probabilities, alone[seed].probabilities, atol=1e-6)
        assert result.runs == alone[seed].runs
        assert [m.rank for m in result.moments] == [m.rank for m in alone[seed].moments]


def test_sessions_are_opened_once_and_only_when_needed(tiny_bundle, monkeypatch):
    with Recognizer.open(tiny_bundle, "cpu", "fp32") as recognizer:
        opened = []
        real = recognizer._engine.open
        monkeypatch.setattr(
            recognizer._engine, "open", lambda path, precision: opened.append(path.stem) or real(path, precision)
        )
        with made_clip(6, video=False) as clip:
            recognizer.classify(clip)
        assert opened == ["audio_encoder"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: recognizer.classify(made_clip(11), looks=1), range(8)))
        assert sorted(opened) == sorted(set(opened))
        assert len(opened) == 6


def test_a_closed_recognizer_says_so(tiny_bundle):
    recognizer = Recognizer.open(tiny_bundle, "cpu", "fp32")
    recognizer.close()
    recognizer.close()
    with made_clip(1) as clip, pytest.raises(ValueError, match="closed"):
        recognizer.classify(clip)


def test_a_bundle_that_is_none_is_a_bundle_error(tmp_path):
    with pytest.raises(BundleError):
        Recognizer.open(tmp_path, "cpu")


def test_an_overflowing_logit_is_a_probability_and_no_warning(recwarn):
    from avgn_edge.runtime.scores import probabilities

    for task in ("single-label", "multi-label"):
        values = probabilities(np.array([-1e4, 0.0, 1e4], dtype=np.float32), task)
        assert values[0] == 0
        assert values[2] == 1
        assert values.dtype == np.float32
    assert not recwarn.list


def test_a_generous_time_budget_changes_no_answer_and_times_graphs_outside_the_account(tiny_bundle, device):
    clip = made_clip(5)
    with Recognizer.open(tiny_bundle, device=device) as recognizer:
        timed = recognizer.classify(clip, "10000s")
        free = recognizer.classify(clip)
    # One glance at a time instead of all at once: the same work, in more runs.
    assert timed.budget.spent_gflops == pytest.approx(free.budget.spent_gflops)
    assert [moment.rank for moment in timed.moments] == [moment.rank for moment in free.moments]
    np.testing.assert_allclose(timed.probabilities, free.probabilities, atol=1e-4)
