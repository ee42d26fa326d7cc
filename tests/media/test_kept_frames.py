"""What may be asked for later and lies on the way to a frame is decoded once."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_makers import VideoSpec, make_media, number_of

from avgn_edge.media import decoder_pool, open_clip

LONG = VideoSpec([i / 10 for i in range(160)], gop=80)
DATA = {name: make_media(LONG, None, name) for name in ("mp4", "matroska", "mpegts")}
FIRST = [7, 0, 15, 3, 11, 1, 5, 9]
REST = [2, 4, 6, 8, 10, 12, 13, 14]


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("sampling", ["cheap", "centre"])
def test_frames_on_the_way_to_others_are_not_decoded_again(container, sampling):
    with open_clip(DATA[container], sampling=sampling, decoders=1) as clip:
        clip.frames(FIRST)
        decoded, converted = clip.decoded, clip.conversions
        assert converted == len(FIRST)  # what nobody asked for is not converted
        for index in REST:
            assert number_of(clip.frames([index])[0]) == LONG.shown_at(clip.moments[index].time_s)
        assert clip.decoded == decoded
        assert clip.conversions == converted + len(REST)


def test_what_there_is_no_room_for_is_decoded_again(monkeypatch):
    width, height = LONG.size
    monkeypatch.setattr(decoder_pool, "MOST_KEPT_BYTES", 3 * width * height * 3 // 2)
    with open_clip(DATA["mp4"], decoders=1) as clip:
        clip.frames(FIRST)
        assert len(clip._video.pool._kept) == 3
        decoded = clip.decoded
        assert [number_of(clip.frames([index])[0]) for index in REST] == [
            LONG.shown_at(clip.moments[index].time_s) for index in REST
        ]
        assert clip.decoded > decoded


def test_of_very_many_moments_none_is_kept():
    with open_clip(DATA["mp4"], count=decoder_pool.FEW + 1, decoders=1) as clip:
        clip.frames([0, 30])
        assert not clip._video.pool._kept


def test_kept_frames_cost_little_and_go_with_the_clip():
    with open_clip(DATA["mp4"], decoders=1) as clip:
        before = clip.work([14])
        clip.frames([0, 15])
        assert clip.work([14]) < before / 4
    assert not clip._video.pool._kept


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(DATA)),
    st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from(["cheap", "centre"]),
    st.integers(1, 3),
)
def test_whatever_is_asked_for_in_whatever_order_is_right(container, asked, sampling, decoders):
    with open_clip(DATA[container], sampling=sampling, decoders=decoders) as clip:
        for indices in asked:
            shown = [number_of(pixels) for pixels in clip.frames(indices)]
            assert shown == [LONG.shown_at(clip.moments[index].time_s) for index in indices]
