"""Real sources: files, pipes, a server that goes away, a picture that changes its size."""

from __future__ import annotations

import http.server
import os
import threading
from itertools import islice, pairwise

import pytest
from live_makers import FakeClock
from media_makers import SoundSpec, VideoSpec, make_media, song_with_cover, tone

from avgn_edge._base.errors import ClipError
from avgn_edge.media.live.connection import (
    Address,
    Connection,
    Picture,
    Sound,
    Status,
    address_of,
    microphone,
    without_password,
)
from avgn_edge.media.live.feed import sources
from avgn_edge.media.live.live_reader import Reader, Reading


def part(size=(128, 96), seconds=2.0, begin_s=0.0):
    """Some seconds of MPEG-TS."""
    times = [begin_s + at / 10 for at in range(round(seconds * 10))]
    video = VideoSpec(times, size=size, gop=5, b_frames=0)
    return make_media(video, SoundSpec(tone(440, seconds, 44_100), start_s=begin_s), "mpegts")


@pytest.fixture(scope="module")
def small():
    return part()


@pytest.fixture(scope="module")
def large():
    return part((192, 160))


def read(address, clock=None, reading=None, most=10_000):
    clock = clock or FakeClock()
    reading = reading or Reading(address.name, live=False, again=False, speed=None, drains=False)
    reader = Reader(reading, lambda: Connection(address), clock, threading.Event())
    return list(islice(reader.items(), most))


def of(kind, items):
    return [item for item in items if isinstance(item, kind)]


def test_a_file_is_delivered_whole_and_in_time(tmp_path, small):
    path = tmp_path / "small.ts"
    path.write_bytes(small)
    items = read(address_of(str(path)))
    assert [item.status for item in of(Status, items)] == ["connected", "ended"]
    assert of(Status, items)[0].text.startswith("h264 128×96 at ")
    assert len(of(Picture, items)) == 20
    steps = [b.time_s - a.time_s for a, b in pairwise(of(Picture, items))]
    assert steps == pytest.approx([0.1] * 19, abs=1e-3)
    heard = sum(item.frame.samples for item in of(Sound, items)) / 44_100
    assert heard == pytest.approx(2.0, abs=0.1)


def test_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp3"
    path.write_bytes(song_with_cover())
    items = read(address_of(str(path)))
    assert of(Status, items)[0].text == "mp3float 44100 Hz"
    assert of(Sound, items)
    assert not of(Picture, items)


def test_a_picture_that_changes_its_size_and_times_that_begin_anew_are_gone_on_with(tmp_path, small, large):
    path = tmp_path / "changes.ts"
    path.write_bytes(small + large + small)
    pictures = of(Picture, read(address_of(str(path))))
    sizes = [(picture.frame.width, picture.frame.height) for picture in pictures]
    assert sizes[0] == sizes[-1] == (128, 96)
    assert (192, 160) in sizes
    times = [picture.time_s for picture in pictures]
    assert len(times) >= 55
    assert times[-1] == pytest.approx(5.9, abs=0.5)
    assert max(b - a for a, b in pairwise(times)) < 1.0
    assert min(b - a for a, b in pairwise(times)) > -1e-6


def test_a_pipe_is_read_as_it_comes(small):
    receiving, sending = os.pipe()

    def send():
        with os.fdopen(sending, "wb") as pipe:
            for start in range(0, len(small), 5_000):
                pipe.write(small[start : start + 5_000])
                pipe.flush()

    thread = threading.Thread(target=send)
    thread.start()
    items = read(Address("a pipe", f"pipe:{receiving}", protocols="pipe", live=False, again=False))
    thread.join()
    os.close(receiving)
    assert len(of(Picture, items)) == 20
    assert of(Status, items)[-1].status == "ended"


class Server(http.server.ThreadingHTTPServer):
    """Serves a stream that ends in the middle, then nothing, then another."""

    daemon_threads = True

    def __init__(self, parts):
        self.row = iter(parts)
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = next(self.server.row, None)
        if data is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_a_server_that_goes_away_and_comes_back_with_another_picture(small, large):
    server = Server([small, None, None, large])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = address_of(f"http://127.0.0.1:{server.server_port}/live")
        assert address.live
        clock = FakeClock()
        items, told = [], []
        reader = Reader(Reading(address.name), lambda: Connection(address), clock, threading.Event())
        for item in reader.items():
            items.append(item)
            told += [item.status] if isinstance(item, Status) else []
            if told.count("connected") == 2 and len(told) > 8:
                break
    finally:
        server.shutdown()
        server.server_close()
    assert told[:7] == ["connected", *["lost", "reconnecting"] * 3]
    assert clock.waits[:3] == [1, 2, 4]
    sizes = [(item.frame.width, item.frame.height) for item in of(Picture, items)]
    assert sizes[0] == (128, 96)
    assert sizes[-1] == (192, 160)
    first_after = next(item for item in of(Picture, items) if item.frame.width == 192)
    assert first_after.time_s == pytest.approx(7.0, abs=0.5)  # a second of our clock a second


def test_what_is_no_media_is_one_line(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 50)
    with pytest.raises(ClipError, match="it is damaged, cut short, or not media"):
        read(address_of(str(path)))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nothing/there.mp4", "there is no such file"),
        ("gopher://host/x", "gopher is no protocol for streams"),
        (".", "it is a folder"),
    ],
)
def test_names_that_stand_for_nothing_are_refused(source, why):
    with pytest.raises(ClipError, match=why):
        address_of(source)


def test_addresses_are_opened_promptly_and_without_files():
    camera = address_of("rtsp://user:secret@10.0.0.7:554/stream?key=1")
    assert camera.options["rtsp_transport"] == "tcp"
    assert camera.options["fflags"] == "nobuffer"
    assert "file" not in camera.protocols.split(",")
    assert camera.live
    assert "secret" not in camera.name
    assert "key" not in camera.name
    assert camera.url.endswith("?key=1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://a:b@h:1/x", "rtsp://h:1/x"),
        ("http://[::1]:8080/live.ts", "http://[::1]:8080/live.ts"),
        ("http://u:p@h:bad/x", "http://…"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_password(url) == shown


def test_standard_input_and_files_are_not_opened_again(tmp_path):
    (tmp_path / "a.ts").write_bytes(b"x")
    for name in ("-", str(tmp_path / "a.ts")):
        ((reading, _),) = sources(name)
        assert not reading.again
        assert reading.speed == 1.0
    ((live, _),) = sources("rtsp://h/x")
    assert live.again
    assert live.speed is None


def test_a_microphone_is_a_kind_and_a_device():
    assert (microphone("alsa:hw:1,0").format, microphone("alsa:hw:1,0").url) == ("alsa", "hw:1,0")
    assert microphone("avfoundation:0").url == ":0"
    with pytest.raises(ClipError, match="write it as alsa:default"):
        microphone("default")
    assert len(sources("rtsp://h/x", "alsa:default")) == 2
