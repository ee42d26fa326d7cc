"""When and where a network looked, against the truth of its clip."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation_makers import a_moment, a_result, write_truth

from avgn_edge._base.errors import DataError
from avgn_edge.data.evaluation.when_and_where import Episode, Truth, compare_with_truth, read_truth

CARD = (100.0, 50.0, 40.0, 40.0)
"""Centre at 120, 70."""
AROUND = (90.0, 40.0, 60.0, 60.0)
ELSEWHERE = (300.0, 40.0, 60.0, 60.0)


def truth(*, seen=True, boxes=(CARD,) * 8):
    return Truth((Episode(4.0, 6.0, seen, True, tuple(boxes)), Episode(10.0, 12.0, False, True, ())), 0.25)


def looked(time_s, box, *others):
    return a_result([a_moment(0, time_s, saliency=1.0, rank=0, box=box), *others])


def judged(result, known, start_s=0.0):
    told = compare_with_truth(result, known, start_s)
    return told.when, told.where, told.where_of_readable


def test_a_first_look_at_the_card_is_right_in_time_and_place():
    assert judged(looked(5.0, AROUND), truth()) == (True, True, True)
    assert judged(looked(5.0, ELSEWHERE), truth()) == (True, False, False)


def test_a_look_outside_the_readable_episodes_is_a_miss_of_the_strict_reading_alone():
    assert judged(looked(8.0, AROUND), truth()) == (False, None, False)
    assert judged(looked(11.0, AROUND), truth()) == (True, None, False)  # an episode that is heard only


def test_without_a_readable_card_there_is_no_where():
    assert judged(looked(5.0, AROUND), truth(seen=False)) == (True, None, None)


def test_without_a_look_only_the_strict_reading_has_an_answer():
    assert judged(a_result([a_moment(0, 5.0)]), truth()) == (None, None, False)


def test_when_is_about_the_most_salient_moment_and_where_about_the_first_look():
    second = a_moment(1, 8.0, saliency=2.0, rank=1, box=ELSEWHERE)
    assert judged(looked(5.0, AROUND, second), truth()) == (False, True, True)


def test_an_episode_holds_its_start_and_not_its_end():
    assert compare_with_truth(looked(4.0, AROUND), truth()).when is True
    assert compare_with_truth(looked(6.0, AROUND), truth()).when is False


@pytest.mark.parametrize(("time_s", "at"), [(4.0, 0), (4.12, 0), (4.13, 1), (4.5, 2), (5.99, 7)])
def test_the_card_is_where_it_was_at_that_moment(time_s, at):
    boxes = [(100.0 * k, 50.0, 40.0, 40.0) for k in range(8)]
    around = (100.0 * at - 10, 40.0, 60.0, 60.0)
    known = truth(boxes=boxes)
    assert compare_with_truth(looked(time_s, around), known).where is True
    assert compare_with_truth(looked(time_s, (around[0] + 100, *around[1:])), known).where is False


def test_times_of_a_segment_are_counted_from_its_start():
    assert judged(looked(1.0, AROUND), truth(), start_s=4.0) == (True, True, True)
    assert judged(looked(5.0, AROUND), truth(), start_s=4.0) == (False, None, False)


def test_a_card_outside_the_segment_is_not_one_of_its_cards():
    short = a_result([a_moment(0, 1.0, saliency=1.0, rank=0, box=AROUND)], duration_s=3.0)
    assert judged(short, truth(), start_s=7.0) == (False, None, None)
    assert judged(short, truth(), start_s=0.0) == (False, None, None)
    assert (
        compare_with_truth(short, truth(), start_s=5.5).where_of_readable is False
    )  # half a second of the card is in it


def test_a_folder_without_truth_has_none(tmp_path):
    assert read_truth(tmp_path) is None


def test_the_truth_that_synth_writes_is_read(tmp_path):
    pytest.importorskip("PIL", reason="pillow comes with the train extra")
    from avgn_edge.data.synth import Sources, clip_rng, plan_clip
    from avgn_edge.data.synth.dataset import truth_of

    plan = plan_clip(clip_rng(5, 0), Sources.from_folders())
    write_truth(tmp_path, {"clips/0.mp4": truth_of(plan)})
    known = read_truth(tmp_path)["clips/0.mp4"]
    assert known.box_step_s == 0.25
    assert [one.start_s for one in known.episodes] == pytest.approx([e.start for e in plan.episodes], abs=1e-3)
    assert [one.seen for one in known.episodes] == [e.seen for e in plan.episodes]
    for one in known.episodes:
        assert len(one.boxes) == np.ceil((one.end_s - one.start_s) / 0.25)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"a": 1}',
        '{"a": {"box_step": 0.25}}',
        '{"a": {"box_step": 0, "episodes": []}}',
        '{"a": {"box_step": 0.25, "episodes": [{"start": 0, "end": 1, "seen": true, "boxes": []}]}}',
        '{"a": {"box_step": 0.25, "episodes": [{"start": 0, "end": 1, "seen": true, "boxes": [[1, 2, 3]]}]}}',
        json.dumps({"a": {"box_step": 0.25, "episodes": [{"start": "now", "end": 1, "seen": False, "boxes": []}]}}),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path, text):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(DataError, match=r"truth\.json"):
        read_truth(tmp_path)
