"""What a report keeps of a clip is what the clip gave, and the answer is the one that `classify` gives."""

from __future__ import annotations

import numpy as np
import pytest
from network_makers import made_clip

from avgn_edge._base.errors import ClipError
from avgn_edge.media.logmel import log_mel
from avgn_edge.report.record import record
from avgn_edge.runtime.options import Options


@pytest.mark.parametrize("budget", ["none", "200mflops", "30s"])
@pytest.mark.parametrize("heard", ["all", "some", "none"])
def test_the_answer_is_that_of_classify(recognizer, heard, budget):
    kept = record(recognizer, lambda: made_clip(1, heard), Options.of(budget))
    plain = recognizer.classify(made_clip(1, heard), budget)
    np.testing.assert_allclose(kept.result.probabilities, plain.probabilities, atol=1e-6)
    assert (kept.result.budget, kept.result.exit) == (plain.budget, plain.exit)
    assert sum(kept.gflops.values()) == pytest.approx(plain.budget.spent_gflops)


def test_frames_and_sound_are_those_of_the_clip(told):
    clip = made_clip(3)
    glanced = {moment.index for moment in told.result.moments if moment.glanced}
    assert set(told.frames) == glanced
    for index, frame in told.frames.items():
        np.testing.assert_array_equal(frame, clip.frames([index])[0])
    windows, heard = clip.windows()
    np.testing.assert_array_equal(told.heard, heard)
    np.testing.assert_array_equal(told.spectrograms, log_mel(windows[heard])[:, 0])


def test_steps_are_listening_glances_and_each_look(told):
    steps = list(told.steps)
    assert [step.kind for step in steps] == ["listened", "glanced"] + ["looked"] * told.result.budget.looks
    assert [step.moment for step in steps[2:]] == [moment.index for moment in told.looked]
    assert [moment.rank for moment in told.looked] == list(range(told.result.budget.looks))
    spent = [step.spent_gflops for step in steps]
    assert spent == sorted(spent)
    assert spent[-1] == told.result.budget.spent_gflops
    np.testing.assert_array_equal(steps[-1].probabilities, told.result.probabilities)
    assert told.first_glanced == set(steps[1].glanced) < set(steps[-1].glanced)


def test_a_clip_that_only_ends_adds_no_step(recognizer):
    kept = record(recognizer, lambda: made_clip(2, video=False), Options())
    assert ([step.kind for step in kept.steps], kept.result.exit) == (["listened"], "no-visual")
    assert (kept.has_video, kept.display_size, kept.frames) == (False, None, {})


def test_a_clip_is_opened_once_and_closed_in_the_end(recognizer):
    events = []

    class Clip(type(made_clip(1))):
        def close(self):
            events.append("closed")

    def opening():
        events.append("opened")
        clip = made_clip(1)
        clip.__class__ = Clip
        return clip

    record(recognizer, opening, Options())
    assert events == ["opened", "closed"]


def test_what_cannot_be_opened_is_the_error_of_opening(recognizer, tmp_path):
    with pytest.raises(ClipError, match="nowhere"):
        record(recognizer, lambda: recognizer.open_clip(tmp_path / "nowhere.mp4"), Options())
