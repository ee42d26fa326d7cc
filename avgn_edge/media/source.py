"""The bytes of a clip, from a path, bytes or a file object, which can be opened several times; the device that decodes.

Errors of the media libraries become one-line `ClipError`s here.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, cast

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available

from avgn_edge._base.errors import AvgnEdgeError, ClipError, DeviceError
from avgn_edge.media.container import stream_at

if TYPE_CHECKING:
    import soundfile
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from typing_extensions import Buffer


LIBRARY_ERRORS: Final = (
    av.error.FFmpegError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,  # soundfile's errors among others
    MemoryError,
    TypeError,
)
"""All that PyAV, soundfile and file objects have been seen to raise on bad input."""


@contextmanager
def as_clip_error(name: str, what_to_do: str) -> Iterator[None]:
    """Turn errors of the media libraries inside the block into a `ClipError` about the clip `name`."""
    try:
        yield
    except AvgnEdgeError:
        raise
    except LIBRARY_ERRORS as error:
        raise ClipError(name, reason(error), what_to_do) from error


def reason(error: BaseException) -> str:
    """Return in a few words why a media library failed."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, av.error.InvalidDataError):
        return "it is damaged, cut short, or not media"
    if isinstance(error, av.error.DecoderNotFoundError):
        return "its codec is not supported"
    if isinstance(error, EOFError):
        return "it ends too soon"
    if isinstance(error, TimeoutError):
        return "reading it took too long"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:200].rstrip(".").replace(": ", ", ")


OPEN_TIMEOUT_S: Final = 30.0
READ_TIMEOUT_S: Final = 30.0
MAX_PIXELS: Final = 8_192 * 8_192
"""Larger pictures are refused: a few damaged bytes can claim gigabytes."""
UNPROBED: Final = {"probesize": "32", "codec_whitelist": "none"}
"""FFmpeg's options that forbid decoding while a container is opened."""

CHECK_FILE: Final = "check that it plays elsewhere, or convert it"
SOFTWARE: Final = "none"
AUTO: Final = "auto"
FIRST_PACKETS: Final = 64
"""A device that gives no frame for so many packets cannot decode the video."""


class Source:
    """The bytes of one clip, which each `container()`, `sound()` and `bytes_of()` reads independently from the start.

    Raises ClipError if they cannot be those of a clip.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | BinaryIO) -> None:
        self.name: str
        self._path: str | None = None
        self._data: bytes | None = None
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        if isinstance(source, str | os.PathLike):
            self.name = os.fsdecode(source)  # a path may be of bytes
            self._path = _checked_path(self.name)
        elif isinstance(source, bytes | bytearray | memoryview):
            self.name, self._data = "<bytes>", bytes(source)
            if not self._data:
                raise ClipError(self.name, "they are empty", "give the bytes of a media file")
        elif hasattr(source, "read"):
            name = getattr(source, "name", None)
            self.name = name if isinstance(name, str) else "<file object>"
            self._file = _checked_file(source, self.name)
        else:
            raise ClipError(
                f"a clip of type {type(source).__name__}", "it cannot be read", "give a path, bytes or a binary file"
            )

    def container(self, device: str | None = None, *, probe: bool = True) -> InputContainer:
        """Open the clip with FFmpeg, at its start; raises what FFmpeg raises.

        Args:
            device: The name of the device that decodes its video; None is software.
            probe: Whether FFmpeg may decode to find what the container's header does not say. Decoding a key frame of
                640 × 360 takes 3 of the 3.5 ms of opening.
        """
        # With "file:", a name that has a colon is not taken for a protocol. The white list keeps a playlist that poses
        # as a clip from reaching the network.
        return av.open(
            f"file:{self._path}" if self._path is not None else self._stream(),
            mode="r",
            container_options={"protocol_whitelist": "file" if self._path is not None else "data"},
            options={"max_pixels": str(MAX_PIXELS)} | ({} if probe else UNPROBED),
            metadata_errors="replace",
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
            hwaccel=None if device is None else HWAccel(device, allow_software_fallback=False),
        )

    def sound(self) -> soundfile.SoundFile:
        """Open the clip with libsndfile; raises what soundfile raises."""
        import soundfile  # noqa: PLC0415 - only plain audio files need it

        return soundfile.SoundFile(self._path if self._path is not None else self._stream(quiet=True))

    def bytes_of(self) -> BinaryIO:
        """Open the clip as a binary file, which the caller closes. Raises OSError."""
        return Path(self._path).open("rb") if self._path is not None else cast("BinaryIO", self._stream())

    def _stream(self, *, quiet: bool = False) -> IO[bytes]:
        if self._file is None:
            return io.BytesIO(self._data or b"")
        view = _QuietView if quiet else _View
        return cast("IO[bytes]", view(self._file, self._lock))


class _View(io.RawIOBase):
    """A reading position of its own in a file object that several readers share."""

    def __init__(self, file: BinaryIO, lock: threading.Lock) -> None:
        super().__init__()
        self._shared = file
        self._lock = lock
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_END:
            with self._lock:
                end = self._shared.seek(0, os.SEEK_END)
            self._position = end + offset
        else:
            self._position = offset + (self._position if whence == os.SEEK_CUR else 0)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        try:
            with self._lock:
                self._shared.seek(self._position)
                data = bytes(self._shared.read(size))
        except Exception as error:  # it is the caller's object, which may raise anything
            raise OSError(f"reading failed: {error}") from error
        self._position += len(data)
        return data

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer).cast("B")
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)


class _QuietView(_View):
    """A view that ends where reading fails, because errors inside libsndfile's callbacks are printed."""

    def read(self, size: int = -1, /) -> bytes:
        try:
            return super().read(size)
        except OSError:
            return b""


def _checked_path(path: str) -> str:
    """Return `path` if it can be a clip: a file that may be read and is not empty."""
    if "://" in path:
        raise ClipError(path, "it is an address, not a file", "download it first, or use `avgn-edge watch`")
    if not path:  # pathlib takes it for the current folder
        raise ClipError("a clip", "its name is empty", "give the path of a file")
    with as_clip_error(path, "check the path and its permissions"):
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ClipError(path, "it is a folder", "give the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(path, "it is not a regular file", "copy what it delivers to a file first")
        if status.st_size == 0:
            raise ClipError(path, "it is empty", "copy or record it again")
        with Path(path).open("rb"):
            pass
    return path


def _checked_file(file: BinaryIO, name: str) -> BinaryIO:
    """Return `file` if it can be a clip: binary, seekable and not empty. It is read from its beginning."""
    with as_clip_error(name, "open it in binary mode, or read it whole and give the bytes"):
        if not isinstance(file.read(0), bytes):
            raise ClipError(name, "it is a text file object", "open it in binary mode")
        if not (hasattr(file, "seek") and hasattr(file, "seekable") and file.seekable()):
            raise ClipError(name, "it cannot seek", "read it whole and give the bytes")
        if file.seek(0, os.SEEK_END) == 0:
            raise ClipError(name, "it is empty", "give a file object with a clip in it")
    return file


def chosen_device(hwaccel: str, opened: Callable[[str], InputContainer], index: int, clip: str) -> str | None:
    """Return the device that decodes a video.

    Whether a device does is only known after it has: the first frame is decoded here.

    Args:
        hwaccel: "none"; "auto" for the first device that works, else software; or the name of a device.
        opened: Opens the clip with the device of that name.
        index: The index of the stream of video.
        clip: The clip's name, for errors.

    Returns:
        The name of the device, such as "cuda"; None is software.

    Raises:
        DeviceError: The device is unknown, or does not decode the video.
    """
    if hwaccel == SOFTWARE:
        return None
    known = hwdevices_available()
    if hwaccel == AUTO:
        return next((name for name in known if _fault(name, opened, index) is None), None)
    what = f"hwaccel {hwaccel}"
    if hwaccel not in known:
        raise DeviceError(
            what, "this FFmpeg was built without it", f"choose from {', '.join([SOFTWARE, AUTO, *known])}"
        )
    fault = _fault(hwaccel, opened, index)
    if fault is not None:
        raise DeviceError(what, f"it does not decode {clip}, {fault}", f"choose {SOFTWARE} or {AUTO}")
    return hwaccel


def _fault(name: str, opened: Callable[[str], InputContainer], index: int) -> str | None:
    """Return why the device `name` cannot be used, None if it can."""
    try:
        with opened(name) as container:
            stream = stream_at(container.streams.video, index)
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
