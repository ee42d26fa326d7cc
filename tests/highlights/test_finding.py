"""Events of a made minute are found, within the budget, whatever the file lacks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from highlight_makers import BOTH, COST, HEARD, SEEN, sense_recognizer, spent_macs, write_minute

from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.media.opening import open_clip
from avgn_edge.runtime.highlights import HighlightSettings
from avgn_edge.runtime.highlights import long_video as sources
from avgn_edge.runtime.highlights.long_video import EDGE_S, TOGETHER

ONE_A_SECOND = 60 * 0.3
SHORTER = HighlightSettings(least_share=0.0)


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    return write_minute(tmp_path_factory.mktemp("minute") / "minute.mp4")


def hits(told):
    return {
        name: [s for s in told.segments if start <= s.peak_s < end]
        for name, (start, end) in {"both": BOTH, "heard": HEARD, "seen": SEEN}.items()
    }


def test_with_every_frame_glanced_at_each_event_is_one_segment_of_its_class_and_nothing_else_is(minute):
    recognizer, _ = sense_recognizer()
    told = recognizer.highlights(minute, "none", settings=SHORTER)
    found = hits(told)
    assert {name: len(segments) for name, segments in found.items()} == {"both": 1, "heard": 1, "seen": 1}
    assert len(told.segments) == 3
    assert {segment.label for segment in told.segments} == {recognizer.labels[1]}
    assert found["both"][0].rank == 1  # both agree
    for (start, end), name in ((BOTH, "both"), (HEARD, "heard"), (SEEN, "seen")):
        assert found[name][0].start_s == pytest.approx(start, abs=0.8)
        assert found[name][0].end_s == pytest.approx(end, abs=0.8)
    assert told.timeline.glanced.all()


def test_scores_lie_in_0_to_1_however_salient_a_moment_is_and_what_is_told_cannot_be_written(minute):
    recognizer, engine = sense_recognizer()
    plain = recognizer.highlights(minute, "none", settings=SHORTER)
    answer = engine.answer
    engine.answer = lambda graph, inputs: {
        name: value * (1.05 if name == "saliency" else 1) for name, value in answer(graph, inputs).items()
    }
    told = recognizer.highlights(minute, "none", settings=SHORTER)
    assert [segment.label for segment in told.segments] == [segment.label for segment in plain.segments]
    assert max(segment.score for segment in told.segments) == 1.0
    assert all(0 <= score <= 1 for segment in told.segments for score in (segment.score, segment.label_score))
    assert 0 <= told.timeline.score.min() <= told.timeline.score.max() == 1.0
    assert "\n" not in repr(told)
    assert len(repr(told)) < 250
    for array in vars(told.timeline).values():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("budget", [None, "1.5gflops", "2gflops", "3.123gflops", "20gflops", "none"])
def test_what_is_spent_is_the_sum_of_what_ran_and_never_exceeds_the_budget(minute, budget):
    recognizer, engine = sense_recognizer()
    told = recognizer.highlights(minute, budget)
    assert told.budget.spent_gflops == pytest.approx(spent_macs(engine) / 1e9, rel=1e-12)
    if told.budget.limit_gflops is not None:
        assert told.budget.spent_gflops <= told.budget.limit_gflops
    assert told.budget.glances == told.timeline.glanced.sum() == sum(engine.items["global_encoder"])
    assert told.budget.one_a_second_gflops == pytest.approx(ONE_A_SECOND, rel=0.01)


def test_the_default_is_a_quarter_of_a_glance_a_second_and_is_used_up_to_a_glance(minute):
    recognizer, _ = sense_recognizer()
    told = recognizer.highlights(minute)
    quarter = told.budget.one_a_second_gflops / 4
    assert quarter - 2 * 0.3 < told.budget.spent_gflops <= quarter
    assert len(hits(told)["both"]) == len(hits(told)["heard"]) == 1


def test_glances_go_to_what_is_heard_before_they_are_spread(minute):
    recognizer, _ = sense_recognizer()
    told = recognizer.highlights(minute, "4gflops")
    when = told.timeline.time_s[told.timeline.glanced]
    assert any(BOTH[0] <= time < BOTH[1] for time in when)
    assert any(HEARD[0] <= time < HEARD[1] for time in when)


def test_with_no_sound_glances_lie_evenly_over_the_video(tmp_path):
    recognizer, engine = sense_recognizer()
    told = recognizer.highlights(write_minute(tmp_path / "mute.mp4", sound=False), "4gflops")
    assert engine.items["audio_encoder"] == []
    assert "no audio track" in told.warnings
    when = told.timeline.time_s[told.timeline.glanced]
    gaps = np.diff([0.0, *when, told.duration_s])
    assert len(when) >= 10
    assert gaps.max() < 3 * told.duration_s / len(when)


def test_sound_alone_is_enough(tmp_path):
    recognizer, engine = sense_recognizer()
    told = recognizer.highlights(write_minute(tmp_path / "sound.wav", video=False))
    assert engine.items["global_encoder"] == []
    assert [len(segments) for segments in hits(told).values()] == [1, 1, 0]


def test_nothing_to_hear_or_see_is_an_error(tmp_path):
    recognizer, _ = sense_recognizer()
    silence = write_minute(tmp_path / "silence.wav", video=False, silent=True)
    with pytest.raises(ClipError, match="silent and has no video"):
        recognizer.highlights(silence)


def test_sound_that_is_missing_somewhere_is_a_warning_and_missing_everywhere_an_error(tmp_path, monkeypatch):
    path = write_minute(tmp_path / "sound.wav", video=False)
    before = sources.Video.stretch
    lost = {0.375}

    def stretch(self, times_s, edge_s):
        if not lost or times_s[0] in lost:
            raise ClipError("sound.wav", "none of its sound can be decoded", "convert it")
        return before(self, times_s, edge_s)

    monkeypatch.setattr(sources.Video, "stretch", stretch)
    told = sense_recognizer()[0].highlights(path)
    assert "sound is missing from 0 s on: none of its sound can be decoded" in told.warnings
    assert told.timeline.heard.tolist() == [False] * TOGETHER + [True] * (80 - TOGETHER)
    lost.clear()
    with pytest.raises(ClipError, match="none of its sound"):
        sense_recognizer()[0].highlights(path)


def test_budgets_that_buy_nothing_say_what_would(minute):
    recognizer, engine = sense_recognizer()
    with pytest.raises(BudgetError, match="give at least 855mflops"):
        recognizer.highlights(minute, "800mflops")
    assert recognizer.highlights(minute, "855mflops").budget.glances == 0
    assert engine.items["global_encoder"] == []
    with pytest.raises(BudgetError, match="give it in gflops"):
        recognizer.highlights(minute, "2s")


def test_stretches_hear_what_the_whole_file_says_and_hold_few_windows_at_once(minute):
    video = sources.Video(minute, sense_recognizer()[0].manifest.preprocessing)
    times = np.arange(0.4, 59.8, 0.45)
    assert len(times) > TOGETHER
    with open_clip(minute, times=list(times)) as clip:
        whole, heard = clip.windows()
    for first in range(0, len(times), TOGETHER):
        rows = slice(first, first + TOGETHER)
        with video.stretch(times[rows], EDGE_S) as clip:
            windows, flags = clip.windows()
        assert len(windows) <= TOGETHER
        assert (flags == heard[rows]).all()
        np.testing.assert_allclose(windows, whole[rows], atol=2e-3)  # AAC begins anew at each seek


def test_no_more_than_a_stretch_is_ever_asked_for(minute, monkeypatch):
    asked = []
    before = sources.Video.stretch

    def stretch(self, times_s, edge_s):
        asked.append(len(times_s))
        return before(self, times_s, edge_s)

    monkeypatch.setattr(sources.Video, "stretch", stretch)
    told = sense_recognizer()[0].highlights(minute)
    assert sum(asked) == told.budget.moments == 80
    assert max(asked) <= TOGETHER


def test_progress_ends_at_its_total_and_never_goes_back(minute):
    seen = []
    sense_recognizer()[0].highlights(minute, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)


def test_bytes_and_file_objects_give_what_the_path_gives(minute):
    recognizer, _ = sense_recognizer()
    by_path = recognizer.highlights(minute)
    with minute.open("rb") as file:
        others = [recognizer.highlights(minute.read_bytes()), recognizer.highlights(file)]
    others.append(recognizer.highlights(minute))
    for told in others:
        assert replace(told, video=by_path.video) == by_path
        np.testing.assert_array_equal(told.timeline.score, by_path.timeline.score)


def test_the_dictionary_is_plain_json_with_a_row_a_moment(minute):
    told = sense_recognizer()[0].highlights(minute)
    read = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert len(read["timeline"]["time_s"]) == len(read["timeline"]["glanced"]) == read["budget"]["moments"]
    assert read["segments"][0]["clip"] is None
    assert list(read)[:3] == ["video", "duration_s", "segments"]


def test_a_short_clip_has_as_many_moments_as_the_network_needs(tmp_path):
    from media_makers import SoundSpec, VideoSpec, tone, write_media

    short = write_media(tmp_path / "short.mp4", VideoSpec(), SoundSpec(tone(440, 4.0, 44_100)))
    told = sense_recognizer()[0].highlights(short)
    assert told.budget.moments == 16
    assert all(0 <= segment.start_s < segment.end_s <= told.duration_s for segment in told.segments)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"spacing_s": 0}, {"least_s": 30.0}, {"checks": 0.9, "coverage": 0.2}):
        with pytest.raises(ValueError, match=r".+"):
            HighlightSettings(**wrong)
    assert COST
