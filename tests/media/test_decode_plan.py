"""Cheap sampling: of each bin the frame decoded soonest, within reach, and the very one that is then shown."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import VideoSpec, make_media, number_of

from avgn_edge.media import open_clip
from avgn_edge.media.frame_index import DecodePath, Span, first_decoded, nearest_key
from avgn_edge.media.frame_index import PacketTimes as Times
from avgn_edge.media.moments import centred_moments

TENTHS = tuple(i / 10 for i in range(200))
UNEVEN = tuple(i / 10 + (0.03 if i % 3 else 0) + (2.0 if i > 60 else 0) + (1.5 if i > 110 else 0) for i in range(150))
PYRAMID = {"preset": "medium", "x264-params": "b-pyramid=strict:keyint=60:scenecut=0"}
SMALL = (64, 48)

CLIPS = {
    "few key frames": (VideoSpec(TENTHS, gop=70, size=SMALL), "mp4"),
    "one key frame": (VideoSpec(TENTHS, gop=1000, size=SMALL), "mp4"),
    "key frames only": (VideoSpec(TENTHS, gop=1, b_frames=0, size=SMALL), "mp4"),
    "no B-frames": (VideoSpec(TENTHS, gop=45, b_frames=0, size=SMALL), "mp4"),
    "B-pyramid": (VideoSpec(TENTHS, b_frames=5, options=PYRAMID, size=SMALL), "mp4"),
    "open groups": (
        VideoSpec(TENTHS, b_frames=3, options={"x264-params": "open-gop=1:keyint=40:bframes=3"}, size=SMALL),
        "mp4",
    ),
    "uneven": (VideoSpec(UNEVEN, gop=40, size=SMALL), "mp4"),
    "starts late": (VideoSpec([7.3 + time for time in TENTHS], gop=30, size=SMALL), "mp4"),
    "hevc, open groups": (
        VideoSpec(TENTHS[:120], "libx265", options={"x265-params": "log-level=none:keyint=30:open-gop=1:bframes=4"}),
        "mp4",
    ),
    "matroska": (VideoSpec(TENTHS, gop=70, size=SMALL), "matroska"),
    "fragments": (VideoSpec(TENTHS, gop=50, size=SMALL), "fragments"),
}


@dataclass(frozen=True)
class Packets:
    """A clip's packets in the order of decoding: when shown, in seconds from the first frame; bytes; whether a key."""

    shown_s: tuple[float, ...]
    sizes: tuple[int, ...]
    keys: tuple[bool, ...]

    def way(self, time_s: float) -> DecodePath:
        """What is decoded from the last key frame shown by `time_s` to the frame that is shown then."""
        shown = max((time for time in self.shown_s if time <= time_s + 1e-9), default=min(self.shown_s))
        last = self.shown_s.index(shown)
        key = max((i for i in range(last + 1) if self.keys[i] and self.shown_s[i] <= time_s + 1e-9), default=0)
        return DecodePath(last + 1 - key, sum(self.sizes[key : last + 1]))


@cache
def made(name: str) -> tuple[bytes, VideoSpec, Packets]:
    video, container = CLIPS[name]
    if container == "fragments":
        data = make_media(video, None, "mp4", movflags="frag_keyframe+empty_moov")
    else:
        data = make_media(video, None, container)
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        found = [packet for packet in file.demux(stream) if packet.size and packet.pts is not None]
        start = min(packet.pts for packet in found)
        shown = tuple(float((packet.pts - start) * stream.time_base) for packet in found)
        keys = tuple(packet.is_keyframe for packet in found)
        return data, video, Packets(shown, tuple(packet.size for packet in found), keys)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(CLIPS)), st.integers(1, 24), st.one_of(st.just(1.0), st.floats(0.01, 1)), st.data())
def test_a_cheap_moment_is_within_reach_and_shows_the_frame_it_names(name, count, reach, data):
    clip_bytes, video, packets = made(name)
    with open_clip(clip_bytes, count=count, sampling="cheap", reach=reach) as clip:
        for moment, centre in zip(clip.moments, centred_moments(clip.duration_s, count), strict=True):
            half_s = (moment.bin_end_s - moment.bin_start_s) / 2
            assert moment.bin_start_s <= moment.time_s <= moment.bin_end_s
            assert abs(moment.time_s - centre.time_s) <= reach * half_s + 1e-9
            if moment.time_s != centre.time_s:
                assert min(abs(moment.time_s - time) for time in packets.shown_s) < 1e-9, "no frame starts there"
        order = data.draw(st.permutations(range(count)))
        some = order[: data.draw(st.integers(1, count))]
        wanted = {moment.index: video.shown_at(moment.time_s + 1e-9) for moment in clip.moments}
        assert [number_of(pixels) for pixels in clip.frames(some)] == [wanted[index] for index in some]
        for index in order[:3]:
            assert number_of(clip.frames([index])[0]) == wanted[index]


@pytest.mark.parametrize("reach", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("count", [3, 8, 16, 40])
@pytest.mark.parametrize("name", [name for name in CLIPS if name != "fragments"])
def test_the_plan_costs_no_more_than_centres_or_the_nearest_key_frames(name, count, reach):
    data, _, packets = made(name)
    with open_clip(data, count=count, sampling="cheap", reach=reach) as clip:
        for moment in clip.moments:
            span = Span.of(moment, reach)
            cost = packets.way(moment.time_s).work(3)
            assert cost <= packets.way(span.centre_s).work(3)
            keys = (time for time, key in zip(packets.shown_s, packets.keys, strict=True) if key)
            nearest = nearest_key(span, keys)
            if nearest is not None:
                assert cost <= packets.way(nearest).work(3)


def test_centre_is_the_centre_and_a_reach_of_nothing_too():
    data, _, _ = made("few key frames")
    for options in ({"sampling": "centre"}, {"sampling": "centre", "reach": 1.0}, {"sampling": "cheap", "reach": 0.0}):
        with open_clip(data, **options) as clip:
            assert clip.moments == centred_moments(clip.duration_s, 16)


@pytest.mark.parametrize("options", [{"reach": -0.1}, {"reach": 1.1}, {"decoders": 0}])
def test_settings_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match="must"):
        open_clip(made("no B-frames")[0], **options)


def test_of_the_frames_of_a_bin_the_one_decoded_first_is_chosen():
    span = Span(2.0, 3.0, 4.0)
    #       I1.0        P2.5 before the B-frames that are shown before it
    order = [
        Times(1.0, 0.8),
        Times(2.6, 1.0),
        Times(1.6, 1.2),
        Times(2.1, 1.6),
        Times(3.1, 2.1),
    ]
    assert first_decoded(span, order) == 2.6
    assert first_decoded(span, [Times(1.0, 1.0), Times(3.5, 3.5), Times(4.5, 4.5)]) is None  # 1.0 is shown at 3.0
    assert first_decoded(span, [Times(1.0, 0.5), Times(3.5, 1.0), Times(2.5, 2.5), Times(4.0, 4.0)]) == 3.5
    assert first_decoded(span, [Times(1.0, 1.0), Times(4.5, 4.5)]) is None


def test_no_more_packets_are_read_than_tell():
    seen = []

    def packets():
        for number in range(100):
            seen.append(number)
            yield Times(number / 10, number / 10)

    assert first_decoded(Span(2.0, 3.0, 4.0), packets()) == 2.0
    assert seen[-1] == 20


def test_planning_decodes_nothing():
    with open_clip(made("few key frames")[0], sampling="cheap") as clip:
        assert clip.decoded == 0
