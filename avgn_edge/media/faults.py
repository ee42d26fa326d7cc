"""What the media libraries raise, turned into a one-line `ClipError` at the border of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import av.error

from avgn_edge.errors import AvgnEdgeError, ClipError

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
"""Everything PyAV, soundfile and file objects have been seen to raise on bad input."""


@contextmanager
def as_clip_error(name: str, what_to_do: str) -> Iterator[None]:
    """Raise a `ClipError` about the clip `name` for whatever a media library raises inside."""
    try:
        yield
    except AvgnEdgeError:
        raise
    except LIBRARY_ERRORS as error:
        raise ClipError(name, reason(error), what_to_do) from error


def reason(error: BaseException) -> str:
    """Say in a few words why a media library failed."""
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
