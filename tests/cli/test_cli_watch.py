"""`avgn-edge watch` on files and pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from media_makers import SoundSpec, VideoSpec, make_media, tone

from avgn_edge.cli import watch as watching
from avgn_edge.runtime.stream.events import Event

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def stream_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("watch") / "five.ts"
    video = VideoSpec([at / 10 for at in range(50)], b_frames=0)
    path.write_bytes(make_media(video, SoundSpec(tone(440, 5.0, 44_100)), "mpegts"))
    return path


def test_a_file_is_watched_to_its_end(run, bundle, stream_file):
    done = run("watch", stream_file, "--speed", "max", "--json", "--updates", "--threads", 1)
    assert done.code == 0
    said = done.objects
    assert [one["status"] for one in said if "status" in one] == ["connected", "ended"]
    updates = [one for one in said if one.get("event") == "update"]
    assert [one["count"] for one in updates] == list(range(1, len(updates) + 1))
    assert len(updates) == 8  # at 0.49, 1.09 … 4.69 s
    assert said[-1]["summary"]["moments"] == 8
    assert all(one["lag_s"] is None for one in updates)


def test_in_a_pipe_stdout_is_json_lines_and_the_source_is_told_on_stderr(run, bundle, stream_file):
    done = run("watch", stream_file, "--speed", "max", "--budget", "100mflops", "--threads", 1)
    assert done.code == 0
    assert all("event" in one for one in done.objects)
    assert "connected: h264 128×96" in done.stderr
    assert "8 moments" in done.stderr


def test_people_can_have_lines_of_their_own(run, bundle, stream_file):
    done = run("watch", stream_file, "--speed", "max", "--text", "--threads", 1)
    assert done.code == 0
    assert not any(line.startswith("{") for line in done.lines)


@pytest.fixture
def stdin(stream_file):
    """Standard input is the file, for this process and FFmpeg in it."""
    before = os.dup(0)
    with stream_file.open("rb") as file:
        os.dup2(file.fileno(), 0)
        yield
    os.dup2(before, 0)
    os.close(before)


def test_standard_input_is_watched(run, bundle, stdin):
    done = run("watch", "-", "--speed", "max", "--json", "--threads", 1)
    assert done.code == 0
    assert done.objects[-1]["summary"]["moments"] == 8


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_it_came_to(bundle, number):
    receiving, sending = os.pipe()
    command = [sys.executable, "-m", "avgn_edge", "watch", "-", "--json", "--updates", "--threads", "1"]
    with os.fdopen(sending, "wb") as pipe:
        process = subprocess.Popen(command, stdin=receiving, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(receiving)
        video = VideoSpec([at / 10 for at in range(100)], b_frames=0)
        pipe.write(make_media(video, SoundSpec(tone(440, 10.0, 44_100)), "mpegts"))
        pipe.flush()
        for line in process.stdout:  # until it is under way; the pipe stays open
            if json.loads(line).get("event") == "update":
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert "summary" in json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nothing.mp4",), "there is no such file"),
        (("-", "--speed", "fast"), "it is no number from 0.01 to 1000"),
        (("-", "--microphone", "mic"), "it is not KIND:DEVICE"),
        (("-", "--budget", "1mflops"), "listening every 0.6 s alone costs more"),
        (("-", "--every", "0"), "give 0.05 to 60 seconds"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, bundle, arguments, why):
    done = run("watch", *arguments)
    assert done.code == 2
    assert len(done.errors) == 1
    assert why in done.errors[0]


def test_a_file_that_is_no_media_ends_in_one_line(run, bundle, tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 50)
    done = run("watch", path, "--json", "--threads", 1)
    assert done.code == 1
    assert len(done.errors) == 1
    assert "not media" in done.errors[0]


def test_lines_for_people():
    start = Event("start", "dog", 0.91, 3_725.04, None)
    end = Event("end", "dog", 0.97, 3_725.04, 3_728.1)
    live = Event("end", "dog", 0.97, 1.0, 2.5, "2026-11-21T10:00:00.000+00:00", "2026-11-21T10:00:01.500+00:00")
    assert watching.event_line(start) == "1:02:05.0  start  dog 0.91"
    assert watching.event_line(end) == "1:02:08.1  end    dog 0.97  after 3.1 s"
    assert watching.event_line(live) == "2026-11-21T10:00:01.500+00:00  end    dog 0.97  after 1.5 s"


def test_the_view_fits_a_terminal_and_shows_the_window():
    from avgn_edge.runtime.result import ClassScore
    from avgn_edge.runtime.stream.events import StreamMoment, StreamUpdate

    moments = tuple(
        StreamMoment(float(at), at / 15, at % 2 == 0, at % 3 == 0, at == 15, "dog", 0.5, None) for at in range(16)
    )
    top = (ClassScore("dog", 0.9), ClassScore("rain", 0.1))
    update = StreamUpdate(40, 24.0, "dog", 0.9, top, moments, (), ("dog",), 0.3, 0.5, 12.0)
    tally = watching.Tally()
    tally.add(update, 24.7)
    rows = watching.view(update, tally)
    assert "dog 0.90  rain 0.10" in rows[0]
    assert rows[2].endswith("▁▁▂▂▃▃▄▄▅▅▆▆▇▇██")
    assert "○··○··○··○··○··◉" in rows[3]
    assert "0.70 s behind" in rows[5]
    assert max(map(len, rows)) <= 80
