"""`result.overlay`: the frames that were looked at, in their own size, each with its box where the result says."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from media_makers import SoundSpec, VideoSpec, number_of, tone, write_media
from network_makers import made_clip

from avgn_edge._base.errors import ClipError
from avgn_edge.media.array_clip import ArrayClip
from avgn_edge.runtime.overlay import COLOUR, EDGE, draw_box
from avgn_edge.runtime.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    with Recognizer.open(tiny_bundle, "cpu", "fp32", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "movie.mp4"
    return write_media(path, VideoSpec(rotation=90, size=(256, 192)), SoundSpec(tone(440, 4.0, 16_000), 16_000))


@pytest.mark.parametrize("sampling", ["cheap", "centre"])
def test_a_file_s_overlays_are_its_frames_upright_in_their_own_size(recognizer, movie, sampling):
    result = recognizer.classify(str(movie), sampling=sampling)
    drawn = result.overlay(movie)
    assert [one.rank for one in drawn] == list(range(result.budget.looks))
    assert len(drawn) > 1
    for one in drawn:
        moment = result.moments[one.moment]
        assert (one.rank, one.time_s, one.box) == (moment.rank, moment.time_s, moment.box)
        assert (one.frame.shape, one.frame.dtype) == ((256, 192, 3), np.uint8)
        x, y, width, height = one.box
        assert one.patch.shape == pytest.approx((height, width, 3), abs=1)
        inside = one.frame[round(y) + 4 : round(y + height) - 4, round(x) + 4 : round(x + width) - 4]
        np.testing.assert_array_equal(inside, one.patch[4:-4, 4:-4][: inside.shape[0], : inside.shape[1]])


def test_bytes_and_file_objects_are_read_too(recognizer, movie):
    result = recognizer.classify(str(movie))
    first = result.overlay(movie)
    for source in (movie.read_bytes(), io.BytesIO(movie.read_bytes())):
        for one, other in zip(first, result.overlay(source), strict=True):
            np.testing.assert_array_equal(one.frame, other.frame)


def test_the_frame_is_the_one_that_was_looked_at(recognizer, tmp_path):
    spec = VideoSpec(size=(256, 192))
    path = write_media(tmp_path / "numbered.mp4", spec)
    result = recognizer.classify(str(path), sampling="centre")
    drawn = result.overlay(path)
    assert drawn
    for one in drawn:
        assert number_of(ArrayClip(one.frame[np.newaxis]).frames([0])[0]) == spec.shown_at(one.time_s)


def test_an_opened_clip_is_drawn_on_and_left_open(recognizer):
    clip = made_clip(3)
    result = recognizer.classify(clip)
    drawn = result.overlay(clip)
    assert len(drawn) == result.budget.looks > 0
    for one in drawn:
        assert one.frame.shape == (120, 160, 3)
    np.testing.assert_array_equal(clip.picture(0), made_clip(3).picture(0))  # nothing was drawn into the caller's


def test_another_clip_is_refused(recognizer):
    result = recognizer.classify(made_clip(3))
    other = ArrayClip(np.zeros((4, 90, 160, 3), np.uint8), duration_s=5.0)
    with pytest.raises(ClipError, match="made-3"):
        result.overlay(other)
    with pytest.raises(ClipError):
        result.overlay(b"no video")


def test_without_a_look_nothing_is_opened(recognizer):
    assert recognizer.classify(made_clip(3, video=False)).overlay("/nowhere.mp4") == ()


@pytest.mark.parametrize("box", [(10, 20, 30, 40), (0, 0, 160, 120), (-3, -3, 20, 20), (125, 85, 35, 35), (5, 5, 1, 1)])
def test_a_box_is_a_line_around_its_place_and_nothing_else(box):
    frame = np.full((120, 160, 3), 77, np.uint8)
    drawn = draw_box(frame, box)
    assert (frame == 77).all()
    assert drawn.shape == frame.shape
    changed = (drawn != 77).any(axis=2)
    assert {tuple(colour) for colour in drawn[changed].tolist()} <= {COLOUR, EDGE}
    near = np.zeros((120, 160), bool)
    x, y, width, height = box
    near[max(0, y - 2) : max(0, y + height + 2), max(0, x - 2) : max(0, x + width + 2)] = True
    assert changed.any()
    assert not (changed & ~near).any()
    assert not changed[max(0, y) + 3 : y + height - 3, max(0, x) + 3 : x + width - 3].any()
