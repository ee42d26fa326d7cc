"""Fixtures of the tests of evaluation: small clips, and a recognizer that opens them and answers at random."""

from __future__ import annotations

import pytest
from evaluation_makers import fake_recognizer
from media_makers import SoundSpec, VideoSpec, tone, write_media
from network_makers import LABELS


@pytest.fixture
def recognizer():
    with fake_recognizer() as opened:
        yield opened


@pytest.fixture(scope="session")
def movie(tmp_path_factory):
    """Four seconds of pictures and a tone."""
    path = tmp_path_factory.mktemp("movie") / "movie.mp4"
    video = VideoSpec(times=[i / 5 for i in range(20)], gop=5)
    return write_media(path, video, SoundSpec(tone(440, 4, 16_000), 16_000))


@pytest.fixture
def csv_set(movie, tmp_path):
    """Write a CSV of clips with these labels, a copy of the movie each, and `broken` more that are not media."""

    def write(labels, broken=0, columns="path,label"):
        folder = tmp_path / "set"
        folder.mkdir(exist_ok=True)
        rows = [f"{index}.mp4,{label}" for index, label in enumerate(labels)]
        for index in range(len(labels)):
            (folder / f"{index}.mp4").write_bytes(movie.read_bytes())
        for index in range(broken):
            (folder / f"broken{index}.mp4").write_text("not a video")
            rows.append(f"broken{index}.mp4,{LABELS[0]}")
        (folder / "labels.csv").write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
        return folder / "labels.csv"

    return write
