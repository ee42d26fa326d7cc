"""What a clip needs of its sound (AVGN's a_t), and plain audio files, which libsndfile reads at any sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from avgn_edge.media.pcm import SoundFilePcm, fill_windows

if TYPE_CHECKING:
    import soundfile

    from avgn_edge.media.windows import WindowBuffer


class Sound(Protocol):
    """A track of sound."""

    damaged: int
    """Packets that could not be decoded, so far."""
    decoded: int
    """Pieces that could be, so far; 0 after `fill` means there was nothing to hear or nothing readable."""

    def fill(self, windows: WindowBuffer) -> None:
        """Write the sound around every moment into `windows`."""

    def close(self) -> None:
        """Let go of the file."""


class PlainSound:
    """A plain audio file, read at the moments only."""

    def __init__(self, sound: soundfile.SoundFile) -> None:
        self._pcm = SoundFilePcm(sound)
        self.duration_s = self._pcm.length / self._pcm.rate
        self.damaged = 0
        self.decoded = 0

    def fill(self, windows: WindowBuffer) -> None:
        """Write the sound around every moment into `windows`; raises what soundfile raises."""
        fill_windows(windows, self._pcm)
        self.decoded += 1

    def close(self) -> None:
        """Close the file."""
        self._pcm.close()
