"""A doorbell with a camera and a microphone: when one of your classes begins, something is done about it.

    python examples/doorbell.py rtsp://camera/stream --label 6 --post http://127.0.0.1:9000/rang
    python examples/doorbell.py clip.mp4 --label 6

The packaged bundle knows digits only: a doorbell's network is trained on rings, knocks and parcels (docs/training.md).
What matters here is `ring`, which takes pictures and sound from anywhere, a piece at a time.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeAlias

import av

from avgn_edge import Event, Recognizer, StreamUpdate

Piece: TypeAlias = "av.VideoFrame | av.AudioFrame"


def ring(
    recognizer: Recognizer,
    pieces: Iterable[Piece],
    labels: Collection[str],
    act: Callable[[Event], None],
    *,
    budget: str = "1gflops",
) -> None:
    """Call `act` whenever one of `labels` begins. Pieces are PyAV's frames, each with its time, as they come.

    A program that has arrays gives them to `stream.push_frame(array, time_s)` and `push_audio(samples, rate, time_s)`.
    """
    stream = recognizer.stream(budget)

    def told(updates: Iterable[StreamUpdate]) -> None:
        for update in updates:
            for event in update.events:
                if event.event == "start" and event.label in labels:
                    act(event)

    for piece in pieces:
        if isinstance(piece, av.AudioFrame):
            told(stream.push_audio(piece, time_s=piece.time))
        else:
            told(stream.push_frame(piece, piece.time))
    told(stream.finish())


def pieces_of(source: str) -> Iterator[Piece]:
    """The frames and the sound of a file or an address, in the order in which they come."""
    with av.open(source, timeout=30) as container:
        for packet in container.demux():
            if packet.stream.type in {"video", "audio"}:
                for frame in packet.decode():
                    if frame.time is not None:
                        yield frame


def post(event: Event, address: str) -> None:
    """Tell a service of your own."""
    request = urllib.request.Request(
        address, json.dumps(event.to_dict()).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def main() -> None:
    """Watch until the source ends or Ctrl-C."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", help="a file, or an address such as rtsp://…")
    options.add_argument("--label", action="append", required=True, help="a class that rings; may be repeated")
    options.add_argument("--post", metavar="URL", help="where to tell it")
    options.add_argument("--model", help="a bundle's folder [the packaged one]")
    asked = options.parse_args()

    def act(event: Event) -> None:
        print(f"{event.start_s:8.1f} s  {event.label} ({event.score:.2f})", flush=True)
        if asked.post:
            try:
                post(event, asked.post)
            except OSError as error:  # the next ring may reach it
                print(f"error: {asked.post}: {error}: is the service running?", flush=True)

    try:
        with Recognizer.open(asked.model) as recognizer:
            ring(recognizer, pieces_of(asked.source), asked.label, act)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
