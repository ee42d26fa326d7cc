"""The file names that are taken for media where a folder is searched; a file that is named may be called anything."""

from __future__ import annotations

from typing import Final

VIDEO: Final = frozenset(
    (
        *(".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    )
)
AUDIO: Final = frozenset(
    (
        *(".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2"),
        *(".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav", ".wma"),
    )
)
MEDIA: Final = VIDEO | AUDIO
