"""Decoding on a device: cuda, vaapi, qsv, videotoolbox, d3d11va and what else FFmpeg was built with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from avgn_edge._base.errors import DeviceError
from avgn_edge.media.source import LIBRARY_ERRORS, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import InputContainer
    from av.video.stream import VideoStream

SOFTWARE: Final = "none"
AUTO: Final = "auto"
FIRST_PACKETS: Final = 64
"""A device that gives no frame for so many packets does not decode the video."""


def chosen_device(asked: str, opened: Callable[[str], InputContainer], index: int, clip: str) -> str | None:
    """Return the name of the device that decodes stream `index` of what `opened` opens with it; None is software.

    Whether a device does is only known when it has: the first frame is decoded here. `asked` is "none", "auto" (the
    first that works, else software) or the name of a device, which works or is a DeviceError.
    """
    if asked == SOFTWARE:
        return None
    from av.codec.hwaccel import hwdevices_available  # noqa: PLC0415 - few ask

    known = hwdevices_available()
    if asked == AUTO:
        return next((name for name in known if _fault(name, opened, index) is None), None)
    what = f"hwaccel {asked}"
    if asked not in known:
        raise DeviceError(
            what, "this FFmpeg was built without it", f"choose from {', '.join([SOFTWARE, AUTO, *known])}"
        )
    fault = _fault(asked, opened, index)
    if fault is not None:
        raise DeviceError(what, f"it does not decode {clip}, {fault}", f"choose {SOFTWARE} or {AUTO}")
    return asked


def _fault(name: str, opened: Callable[[str], InputContainer], index: int) -> str | None:
    """Return why the device `name` cannot be used, None if it can."""
    try:
        with opened(name) as container:
            stream = container.streams.video[[one.index for one in container.streams.video].index(index)]
            if not accelerated(stream):
                return f"it has nothing for {stream.codec_context.name}"
            for number, packet in enumerate(container.demux(stream)):
                if packet.decode():
                    return None
                if number >= FIRST_PACKETS:
                    break
    except LIBRARY_ERRORS as error:
        return reason(error)
    return "it gave no frame"


def accelerated(stream: VideoStream) -> bool:
    """Tell whether a device decodes `stream`."""
    return bool(stream.codec_context.is_hwaccel)
