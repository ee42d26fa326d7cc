"""What is written: lists that editors read, cuts without encoding, a contact sheet."""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from highlight_makers import made_highlights
from hypothesis import given
from hypothesis import strategies as st
from media_makers import SoundSpec, VideoSpec, click, number_of, tone, write_media

from avgn_edge._base.atomic import check_writable, write_text
from avgn_edge._base.errors import AvgnEdgeError, ClipError
from avgn_edge.media.opening import open_clip
from avgn_edge.runtime.highlights import contact_sheet
from avgn_edge.runtime.highlights.contact_sheet import write_sheet
from avgn_edge.runtime.highlights.cut import cut_segments
from avgn_edge.runtime.highlights.edit_lists import COLUMNS, Facts, FrameRate, edl, facts_of, table

NTSC = FrameRate.near(Fraction(30_000, 1_001))
PAL = FrameRate.near(Fraction(25))


# ---- timecodes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "frame", "code"),
    [
        (PAL, 0, "00:00:00:00"),
        (PAL, 90_001, "01:00:00:01"),
        (NTSC, 1_799, "00:00:59;29"),
        (NTSC, 1_800, "00:01:00;02"),  # ;00 and ;01 are left out
        (NTSC, 17_981, "00:09:59;29"),
        (NTSC, 17_982, "00:10:00;00"),  # but not in each tenth minute
        (NTSC, 107_892, "01:00:00;00"),
        (FrameRate.near(Fraction(60_000, 1_001)), 3_600, "00:01:00;04"),
        (FrameRate.near(Fraction(24_000, 1_001)), 86_400, "01:00:00:00"),
    ],
)
def test_frames_have_the_timecodes_that_smpte_gives_them(rate, frame, code):
    assert rate.timecode(frame) == code
    assert rate.frame_of(code) == frame


@given(st.integers(0, 2_000_000), st.sampled_from([24, 25, 30, 50, 60]), st.booleans())
def test_a_timecode_is_read_as_the_frame_it_was_written_for(frame, nominal, ntsc):
    rate = FrameRate.near(Fraction(nominal * 1_000, 1_001) if ntsc else Fraction(nominal))
    frame %= rate.frame_of("23:59:59:20")
    assert rate.frame_of(rate.timecode(frame)) == frame


def test_drop_frame_keeps_to_the_clock_within_two_frames_a_day():
    for hours in (1, 5, 23):
        assert NTSC.timecode(NTSC.frame_at(hours * 3_600.0)).startswith(
            (f"{hours:02d}:00:00", f"{hours - 1:02d}:59:59")
        )


def test_rates_that_files_round_are_what_they_mean():
    assert FrameRate.near(Fraction(2_997, 100)).rate == Fraction(30_000, 1_001)
    assert FrameRate.near(Fraction(23_976, 1_000)).rate == Fraction(24_000, 1_001)
    assert FrameRate.near(Fraction(30)).rate == 30
    assert FrameRate.near(Fraction(15)).dropped == 0
    assert FrameRate.near(Fraction(25)).frame_of("nonsense") is None


# ---- lists ----------------------------------------------------------------------------------------------------------


EVENT = re.compile(r"^(\d{3})  AX       (\S+) +C        (\S{11}) (\S{11}) (\S{11}) (\S{11})$", re.MULTILINE)


def test_the_edl_lays_the_segments_one_after_another_in_order_of_time():
    told = made_highlights((70.0, 74.0), (10.0, 12.5))
    text = edl(told, Facts(NTSC, 0, True, 2))
    assert text.startswith("TITLE: talk\nFCM: DROP FRAME\n")
    events = EVENT.findall(text)
    assert [event[0] for event in events] == ["001", "002"]
    assert {event[1] for event in events} == {"AA/V"}
    frames = [[NTSC.frame_of(code) for code in event[2:]] for event in events]
    for (first, last, record, until), (start_s, end_s) in zip(frames, [(10.0, 12.5), (70.0, 74.0)], strict=True):
        assert first == pytest.approx(start_s * 30_000 / 1_001, abs=0.51)
        assert last == pytest.approx(end_s * 30_000 / 1_001, abs=0.51)
        assert until - record == last - first
    assert frames[0][2] == 107_892
    assert frames[1][2] == frames[0][3]
    assert "* FROM CLIP NAME: talk.mp4" in text
    assert "rank 1" in text.split("002  AX")[1]


@pytest.mark.parametrize(
    ("video", "channels", "tracks"), [(True, 0, "V"), (True, 1, "B"), (False, 1, "A"), (False, 2, "AA")]
)
def test_the_edl_names_the_tracks_that_there_are(video, channels, tracks):
    assert EVENT.search(edl(made_highlights((1, 2)), Facts(PAL, 0, video, channels)))[2] == tracks


def test_timecodes_of_a_file_that_carries_its_own_begin_there(tmp_path):
    for name, code in (("coded.mov", "10:00:00:00"), ("plain.mov", None)):
        with av.open(str(tmp_path / name), "w") as output:
            stream = output.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            if code is not None:
                stream.metadata["timecode"] = code
            for _ in range(50):
                output.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
            output.mux(stream.encode(None))
    facts = facts_of(tmp_path / "coded.mov")
    assert facts.rate.nominal == 25
    assert EVENT.search(edl(made_highlights((1, 2)), facts))[3] == "10:00:01:00"
    assert facts_of(tmp_path / "plain.mov").first_frame == 0


def test_a_name_cannot_break_a_line_of_the_edl_and_a_thousand_events_do_not_fit():
    text = edl(made_highlights((1, 2), video="a\nb.mp4"), Facts(PAL, 0, True, 0))
    assert "* FROM CLIP NAME: a_b.mp4" in text
    many = made_highlights(*[(second, second + 0.5) for second in range(1_000)])
    with pytest.raises(AvgnEdgeError, match="999 events"):
        edl(many, Facts(PAL, 0, True, 0))


def test_the_table_has_a_row_a_segment_the_best_first():
    rows = list(csv.DictReader(io.StringIO(table(made_highlights((70.0, 74.0), (10.0, 12.5)), Facts(PAL, 0, True, 0)))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert [float(rows[0][name]) for name in ("start_s", "end_s", "peak_s")] == [70.0, 74.0, 72.0]
    assert (rows[1]["start_timecode"], rows[1]["end_timecode"]) == ("00:00:10:00", "00:00:12:12")
    assert rows[0]["label"] == "dog"


def test_files_appear_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "a.csv", "x\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    with pytest.raises(AvgnEdgeError, match="it cannot be written"):
        write_text(tmp_path / "none" / "a.csv", "x\n")
    with pytest.raises(AvgnEdgeError, match="there is no folder"):
        check_writable(tmp_path / "none" / "a.csv")
    with pytest.raises(AvgnEdgeError, match="it is a folder"):
        check_writable(tmp_path)


# ---- cuts -----------------------------------------------------------------------------------------------------------


GOP = 15
VIDEO = VideoSpec(times=[i / 10 for i in range(120)], gop=GOP, b_frames=2)
CLICK_S = 6.2


@pytest.fixture(scope="module")
def clicking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    sound = SoundSpec(click(CLICK_S, 12.0, 44_100), 44_100)
    return {
        "mp4": write_media(folder / "a.mp4", VIDEO, sound),
        "mkv": write_media(folder / "a.mkv", VIDEO, sound, "matroska"),
        "ts": write_media(folder / "a.ts", VIDEO, sound, "mpegts"),
    }


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_a_cut_begins_at_the_key_frame_before_and_holds_every_frame_and_the_sound_in_time(clicking, kind, tmp_path):
    told = cut_segments(made_highlights((5.3, 7.1), (1.0, 2.0), video=str(clicking[kind])), clicking[kind], tmp_path)
    first = told.segments[0].clip
    assert first.start_s == pytest.approx(4.5, abs=0.05)  # frame 45 is the key frame at or before 5.3 s
    assert first.end_s >= 7.1 - 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a-01.{kind}", f"a-02.{kind}"]
    with open_clip(first.file, times=[0.0, 0.5, 1.0, 2.0, 2.55]) as clip:
        assert [number_of(frame) for frame in clip.frames(range(5))] == [45, 50, 55, 65, 70]
    with open_clip(first.file, times=[CLICK_S - first.start_s]) as clip:
        windows, heard = clip.windows()
        assert heard.all()
        middle = windows.shape[1] // 2
        assert abs(int(np.abs(windows[0]).argmax()) - middle) <= 16_000 * 0.03
    assert told.segments[1].clip.start_s == pytest.approx(0.0, abs=0.05)


def test_what_is_cut_is_not_encoded_again(clicking, tmp_path):
    told = cut_segments(made_highlights((5.3, 7.1), video=str(clicking["mkv"])), clicking["mkv"], tmp_path)

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    cut, source = packets(told.segments[0].clip.file), packets(clicking["mkv"])
    assert len(cut) >= 26
    assert set(cut) <= set(source)


def test_a_cut_is_turned_as_its_source_is(tmp_path):
    path = write_media(tmp_path / "turned.mp4", VideoSpec(times=[i / 10 for i in range(60)], rotation=90))
    told = cut_segments(made_highlights((2.0, 3.0), video=str(path)), path, tmp_path)
    with open_clip(path) as whole, open_clip(told.segments[0].clip.file) as clip:
        assert clip.display_size == whole.display_size


def test_sound_alone_is_cut_at_its_packets(tmp_path):
    wave = SoundSpec(tone(440, 8.0, 16_000), 16_000, "pcm_s16le", "s16")
    path = write_media(tmp_path / "a.wav", None, wave, "wav")
    cut = cut_segments(made_highlights((3.0, 5.0), video=str(path)), path, tmp_path).segments[0].clip
    assert 2.5 <= cut.start_s <= 3.0
    with open_clip(cut.file) as clip:
        assert clip.duration_s == pytest.approx(cut.end_s - cut.start_s, abs=0.1)


def test_a_file_that_is_no_video_is_one_line_and_leaves_nothing(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 50)
    (tmp_path / "out").mkdir()
    with pytest.raises(ClipError):
        cut_segments(made_highlights((3.0, 5.0), video=str(path)), path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


# ---- the contact sheet ----------------------------------------------------------------------------------------------


def test_the_sheet_shows_the_peaks_in_the_order_of_rank(clicking, tmp_path):
    told = made_highlights((8.0, 9.0), (2.0, 3.0), (5.0, 6.0), video=str(clicking["mp4"]))
    write_sheet(told, clicking["mp4"], tmp_path / "sheet.png")
    with av.open(str(tmp_path / "sheet.png")) as picture:
        pixels = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    assert pixels.shape == (2 * (240 + 14 + 8 + 8) + 8, 2 * (320 + 8) + 8, 3)
    cells = [pixels[8:248, 8:328], pixels[8:248, 336:656], pixels[278:518, 8:328]]
    numbers = []
    for cell in cells:
        square = av.VideoFrame.from_ndarray(np.ascontiguousarray(cell), format="rgb24").reformat(width=256, height=256)
        numbers.append(number_of(square.to_ndarray()[16:240, 16:240]))
    assert numbers == [85, 25, 55]
    assert not list(tmp_path.glob(".*"))


def test_a_sheet_without_pictures_is_refused(tmp_path):
    wave = SoundSpec(tone(440, 8.0, 16_000), 16_000, "pcm_s16le", "s16")
    path = write_media(tmp_path / "a.wav", None, wave, "wav")
    with pytest.raises(ClipError, match="no video"):
        write_sheet(made_highlights((3.0, 5.0), video=str(path)), path, tmp_path / "a.png")
    with pytest.raises(ClipError, match="no highlights"):
        write_sheet(made_highlights(video=str(path)), path, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_no_two_glyphs_are_alike_and_each_has_its_size():
    drawn = [contact_sheet.draw(character, 1) for character in "0123456789:.#-"]
    assert {glyph.shape for glyph in drawn} == {(contact_sheet.HEIGHT, contact_sheet.WIDTH + 1)}
    assert all((one != other).any() for one, other in pairwise(drawn))
    assert len({glyph.tobytes() for glyph in drawn}) == len(drawn)
    assert contact_sheet.draw("12", 3).shape == (21, 36)
