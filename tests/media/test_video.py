from __future__ import annotations

import io

import numpy as np
import pytest
from media_makers import SoundSpec, VideoSpec, make_media, number_of, tone

from avgn_edge._base.errors import ClipError
from avgn_edge.media import FrameGeometry, open_clip

LONG = tuple(i / 10 for i in range(300))
UNEVEN = (0, 0.1, 0.2, 1.5, 1.55, 1.6, 2, 5, 5.01, 5.02, 9)
SOUND = SoundSpec(tone(440, 4, 44_100, 2))

CASES = {
    "mp4 h264 with sound": (VideoSpec(), SOUND, "mp4"),
    "one group of pictures": (VideoSpec(gop=1000), None, "mp4"),
    "no B-frames": (VideoSpec(b_frames=0), None, "mp4"),
    "open groups, B-pyramid": (
        VideoSpec(
            times=LONG,
            b_frames=3,
            options={"preset": "medium", "x264-params": "open-gop=1:b-pyramid=strict:keyint=25"},
        ),
        None,
        "mp4",
    ),
    "mkv vp9": (VideoSpec(codec="libvpx-vp9"), None, "matroska"),
    "mkv vp9 long": (VideoSpec(codec="libvpx-vp9", times=LONG, gop=30), None, "matroska"),
    "mkv one group": (VideoSpec(times=LONG, gop=1000), None, "matroska"),
    "uneven mp4": (VideoSpec(times=UNEVEN), None, "mp4"),
    "uneven mkv": (VideoSpec(times=UNEVEN), None, "matroska"),
    "h265": (VideoSpec(codec="libx265"), None, "mp4"),
    "10 bit": (VideoSpec(pix_fmt="yuv420p10le"), None, "mp4"),
    "mpegts": (VideoSpec(times=LONG), SoundSpec(tone(440, 20, 44_100, 2)), "mpegts"),
    "flv": (VideoSpec(times=LONG), None, "flv"),
    "starts at 5 s, mp4": (VideoSpec(times=[5 + i / 10 for i in range(40)]), None, "mp4"),
    "starts at 5 s, mkv": (VideoSpec(times=[5 + i / 10 for i in range(40)]), None, "matroska"),
    "turned by 90": (VideoSpec(rotation=90), None, "mp4"),
    "turned by 180": (VideoSpec(rotation=180), None, "mp4"),
    "turned by 270": (VideoSpec(rotation=270), None, "mp4"),
    "odd size": (VideoSpec(size=(131, 97), pix_fmt="yuv444p"), None, "mp4"),
    "one frame": (VideoSpec(times=[0]), None, "mp4"),
    "raw h264, no times, no duration": (VideoSpec(times=[i / 25 for i in range(100)]), None, "h264"),
    "avi": (VideoSpec(codec="mpeg4", b_frames=0), None, "avi"),
    "transparency": (VideoSpec(codec="ffv1", pix_fmt="bgra"), None, "matroska"),
}
MUXER_OPTIONS = {
    "fragmented mp4": (VideoSpec(), SOUND, "mp4", {"movflags": "frag_keyframe+empty_moov"}),
    "live mkv: no index, no duration": (VideoSpec(times=LONG), None, "matroska", {"live": "1"}),
}


@pytest.fixture(scope="module")
def made():
    """Files are made once each."""
    kept = {}

    def get(name):
        if name not in kept:
            video, sound, container, *options = CASES.get(name) or MUXER_OPTIONS[name]
            kept[name] = make_media(video, sound, container, **(options[0] if options else {}))
        return kept[name], (CASES.get(name) or MUXER_OPTIONS[name])[0]

    return get


@pytest.mark.parametrize("sampling", ["centre", "cheap"])
@pytest.mark.parametrize("name", [*CASES, *MUXER_OPTIONS])
def test_the_frame_shown_at_each_moment_is_found(made, name, sampling):
    data, video = made(name)
    with open_clip(data, sampling=sampling) as clip:
        wanted = [video.shown_at(moment.time_s) for moment in clip.moments]
        assert [number_of(pixels) for pixels in clip.frames(range(16))] == wanted
        assert all(moment.bin_start_s <= moment.time_s <= moment.bin_end_s for moment in clip.moments)
        assert not [warning for warning in clip.warnings if warning != "no audio track"]


@pytest.mark.parametrize("name", [*CASES, *MUXER_OPTIONS])
def test_order_and_repetition_do_not_matter(made, name):
    data, video = made(name)
    with open_clip(data) as clip:
        wanted = [video.shown_at(moment.time_s) for moment in clip.moments]
        order = [7, 0, 15, 3, 3, 11]
        assert [number_of(pixels) for pixels in clip.frames(order)] == [wanted[i] for i in order]
        for index in (12, 2, 2, 15, 0):
            assert number_of(clip.frames([index])[0]) == wanted[index]


@pytest.mark.parametrize(
    ("name", "duration_s"),
    [
        ("mp4 h264 with sound", 4.0),
        ("mkv vp9 long", 30.0),
        ("mpegts", 30.0),
        ("starts at 5 s, mp4", 4.0),
        ("starts at 5 s, mkv", 4.0),
        ("raw h264, no times, no duration", 4.0),
        ("live mkv: no index, no duration", 30.0),
        ("one frame", 0.0),
    ],
)
def test_duration(made, name, duration_s):
    with open_clip(made(name)[0]) as clip:
        assert clip.duration_s == pytest.approx(duration_s, abs=0.101)


@pytest.mark.parametrize(("rotation", "size"), [(0, (128, 96)), (90, (96, 128)), (180, (128, 96)), (270, (96, 128))])
def test_display_size_is_upright(rotation, size):
    with open_clip(make_media(VideoSpec(rotation=rotation))) as clip:
        assert clip.display_size == size
        assert clip.conversions == 0


def test_only_frames_asked_for_are_converted(made):
    with open_clip(made("mp4 h264 with sound")[0]) as clip:
        assert clip.conversions == 0
        clip.frames([7, 0, 15])
        assert clip.conversions == 3
        clip.frames([])
        assert clip.conversions == 3


def test_moments_that_show_the_same_frame_are_converted_once(made):
    with open_clip(made("one frame")[0]) as clip:
        frames = clip.frames(range(16))
        assert clip.conversions == 1
        assert all((frame == frames[0]).all() for frame in frames)


@pytest.mark.parametrize("name", ["open groups, B-pyramid", "mkv vp9 long"])
def test_few_frames_are_decoded_to_reach_one(made, name):
    data, _ = made(name)
    with open_clip(data) as clip:
        clip.frames([15])
        # One group of pictures, what the decoder holds back, and the frame after.
        assert clip.decoded <= 30 + 8
        clip.frames([3])
        assert clip.decoded <= 2 * (30 + 8)


def test_no_frame_is_decoded_twice_on_the_way_forward(made):
    for name in ("one group of pictures", "mp4 h264 with sound"):
        data, video = made(name)
        with open_clip(data) as clip:
            clip.frames(range(16))
            groups = -(-len(video.times) // video.gop)  # the last frames of one may be decoded after the next has begun
            assert clip.decoded <= len(video.times) + 3 * (groups - 1)


def test_cheap_sampling_lands_on_key_frames_where_there_are_some(made):
    data, video = made("open groups, B-pyramid")
    with open_clip(data, sampling="cheap") as clip:
        keys = {moment.index for moment in clip.moments if video.shown_at(moment.time_s) % 25 == 0}
        assert keys == {min(int(number / 10 // clip.moments[0].bin_end_s), 15) for number in range(0, 300, 25)}


def test_gif_is_a_clip():
    data = make_media(VideoSpec(codec="gif", pix_fmt="rgb8", b_frames=0), None, "gif")
    with open_clip(data) as clip:
        assert clip.duration_s == pytest.approx(4.0, abs=0.11)
        assert len({number_of(pixels) for pixels in clip.frames(range(16))}) == 16


def test_geometry_is_a_setting(made):
    with open_clip(made("mp4 h264 with sound")[0], geometry=FrameGeometry(128, 112), count=4) as clip:
        assert len(clip.moments) == 4
        assert clip.frames([2])[0].shape == (112, 112, 3)


def test_paths_bytes_and_file_objects_agree(made, tmp_path):
    data, _ = made("mp4 h264 with sound")
    path = tmp_path / "12:30 é.mp4"
    path.write_bytes(data)
    results = []
    with path.open("rb") as file:
        file.seek(100)
        for source in (path, str(path), data, io.BytesIO(data), file):
            with open_clip(source) as clip:
                frames = np.stack(clip.frames([7, 0, 15]))
                results.append((frames, clip.windows()[0], clip.duration_s))
    for frames, windows, duration_s in results[1:]:
        assert (frames == results[0][0]).all()
        assert (windows == results[0][1]).all()
        assert duration_s == results[0][2]


def test_names():
    data = make_media(VideoSpec())
    with open_clip(data) as clip:
        assert clip.name == "<bytes>"
    with open_clip(io.BytesIO(data)) as clip:
        assert clip.name == "<file object>"


def test_frames_of_sound_alone_are_an_error():
    with open_clip(make_media(None, SOUND)) as clip:
        assert not clip.has_video
        assert clip.display_size is None
        with pytest.raises(ClipError, match="no video"):
            clip.frames([0])


def test_a_closed_clip_says_so(made):
    clip = open_clip(made("mp4 h264 with sound")[0])
    clip.close()
    clip.close()
    for ask in (lambda: clip.frames([0]), clip.windows, lambda: clip.display_size):
        with pytest.raises(ClipError, match="closed"):
            ask()
