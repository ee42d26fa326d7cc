"""Decoding on a device: the one named or an error; with auto the first that works, else software."""

from __future__ import annotations

import av
import pytest
from media_makers import VideoSpec, make_media, number_of

from avgn_edge._base.errors import ClipError, DeviceError
from avgn_edge.media import open_clip, source

DATA = make_media(VideoSpec([i / 10 for i in range(100)]))


@pytest.fixture
def devices(monkeypatch):
    """A machine with a broken device and one that works (in software, in truth); -> those that were tried."""
    tried = []

    def device(name, *, allow_software_fallback):
        assert not allow_software_fallback
        tried.append(name)
        if name == "broken":
            raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(source, "hwdevices_available", lambda: ["broken", "works"])
    monkeypatch.setattr(source, "HWAccel", device)
    monkeypatch.setattr(source, "accelerated", lambda _: True)
    return tried


def test_software_is_the_default_and_says_its_codec(devices):
    with open_clip(DATA) as clip:
        assert clip.decoder == "h264"
    assert devices == []


def test_a_device_that_is_asked_for_decodes(devices):
    with open_clip(DATA, hwaccel="works", decoders=2) as clip:
        assert clip.decoder == "h264 (works)"
        assert [number_of(pixels) for pixels in clip.frames([0, 15])] == [3, 95]
    assert set(devices) == {"works"}


def test_a_device_that_does_not_work_is_an_error(devices):
    with pytest.raises(DeviceError, match=r"^hwaccel broken: .*, Operation not permitted: choose none or auto$"):
        open_clip(DATA, hwaccel="broken")


def test_a_device_that_ffmpeg_does_not_have_is_an_error(devices):
    with pytest.raises(DeviceError, match="choose from none, auto, broken, works"):
        open_clip(DATA, hwaccel="abacus")


@pytest.mark.parametrize("known", [["broken", "works"], ["broken"], []])
def test_auto_is_the_first_that_works_or_software(devices, monkeypatch, known):
    monkeypatch.setattr(source, "hwdevices_available", lambda: known)
    with open_clip(DATA, hwaccel="auto") as clip:
        assert clip.decoder == ("h264 (works)" if "works" in known else "h264")
        assert number_of(clip.frames([0])[0]) == 3


def test_a_device_without_the_codec_is_an_error(devices, monkeypatch):
    monkeypatch.setattr(source, "accelerated", lambda _: False)
    with pytest.raises(DeviceError, match="nothing for h264"):
        open_clip(DATA, hwaccel="works")
    with open_clip(DATA, hwaccel="auto") as clip:
        assert clip.decoder == "h264"


def test_what_is_no_clip_is_no_fault_of_the_device(devices):
    with pytest.raises(ClipError):
        open_clip(b"nothing", hwaccel="works")
    assert devices == []


def test_without_such_hardware_auto_is_software_and_a_name_an_error():
    with open_clip(DATA, hwaccel="auto") as clip:
        assert "no device here decodes the video: the CPU does" in clip.warnings
        assert clip.decoder.split()[0] == "h264"
        assert len(clip.frames(range(4))) == 4
    with pytest.raises(DeviceError):
        open_clip(DATA, hwaccel="no such device")
