"""Real files in many codecs and shapes; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avgn_edge.media import open_clip

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
EXPECTED = {
    "animated.gif": (True, False, 0.4),
    "av1_video.mkv": (True, False, 5.0),
    "bt601_full_range.mp4": (True, False, 2.0),
    "h264_10bits.mp4": (True, False, 1.0),
    "h265_video.mp4": (True, False, 1.0),
    "nasa_13013.mp4": (True, True, 13.0),
    "nasa_13013.mp4.audio.mp3": (False, True, 13.0),
    "sine_mono_s16.wav": (False, True, 4.0),
    "testsrc2_mpeg4.avi": (True, False, 1.0),
    "testsrc2_odd_height_vp9.mp4": (True, False, 1.0),
    "testsrc2_vp9.webm": (True, False, 1.0),
}


@pytest.mark.parametrize("sampling", ["centre", "cheap"])
@pytest.mark.parametrize("name", EXPECTED)
def test_every_clip_of_the_folder_is_read(name, sampling):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is not there: the development clips are not part of the repository")
    has_video, has_audio, duration_s = EXPECTED[name]
    with open_clip(path, sampling=sampling) as clip:
        assert (clip.has_video, clip.has_audio) == (has_video, has_audio)
        assert clip.duration_s == pytest.approx(duration_s, abs=0.1)
        windows, heard = clip.windows()
        assert np.isfinite(windows).all()
        assert heard.any() == has_audio
        if has_video:
            once = clip.frames([7, 0, 15, 3])
            again = clip.frames(range(16))
            for index, pixels in zip([7, 0, 15, 3], once, strict=True):
                assert pixels.shape == (224, 224, 3)
                assert (pixels == again[index]).all()
