"""Runs the command line in this process, and makes the media it is run on."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from interruptions import signals_as_usual  # noqa: F401 - a fixture for all tests
from media_makers import SoundSpec, VideoSpec, tone, write_media

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.reader import packaged_bundle_path
from avgn_edge.cli import progress
from avgn_edge.cli.main import main

SHARED_CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "clips"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self):
        return self.stdout.splitlines()

    @property
    def errors(self):
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def run(capfd, monkeypatch):
    """Run `avgn-edge` with these arguments; on a slow machine too without the lines that tell of long work."""
    monkeypatch.setattr(progress, "EVERY_S", 3600.0)

    def command(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err or "--debug" in arguments
        return Outcome(code, out, err)

    return command


@pytest.fixture(scope="session")
def bundle():
    """The packaged bundle; the tests that need one are skipped loudly while it is not there."""
    try:
        return packaged_bundle_path()
    except BundleError as error:
        warnings.warn(f"SKIPPED for want of a bundle: {error}", stacklevel=1)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def shared_clips():
    if not SHARED_CLIPS.is_dir():
        warnings.warn("SKIPPED: ../shared/data/clips is not there", stacklevel=1)
        pytest.skip("../shared/data/clips is not there")
    return sorted(path for path in SHARED_CLIPS.iterdir() if path.is_file())


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """A folder with a clip of each kind, good and bad."""
    folder = tmp_path_factory.mktemp("media")
    sound = SoundSpec(tone(440, 4.0, 44_100))
    whole = write_media(folder / "both.mp4", VideoSpec(), sound)
    write_media(folder / "silent.mp4", VideoSpec())
    write_media(folder / "turned.mp4", VideoSpec(rotation=90), sound)
    rate = 16_000
    wave = SoundSpec(tone(440, 4.0, rate).astype(np.float32), rate, "pcm_s16le", "s16")
    write_media(folder / "sound.wav", None, wave, "wav")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video\n" * 50)
    data = whole.read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    return folder
