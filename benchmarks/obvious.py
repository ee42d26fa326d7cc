"""The pipelines that anyone would write: decode at the centres, listen to everything, run the whole network in PyTorch.

The network is the bundle's by its settings. Its weights are random: multiplying by them takes no less than by trained
ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.processes import usable_cores
from avgn_edge.architectures.avgn.network.settings import Settings, preset
from avgn_edge.media.logmel import FRAMES as FRAMES_OF_SOUND
from avgn_edge.media.logmel import MEL_BANDS, SAMPLE_RATE, log_mel
from avgn_edge.media.moments import GLANCE_ORDER
from benchmarks import plain

if TYPE_CHECKING:
    from torch import Tensor

    from avgn_edge.architectures.avgn.network.avgn import AVGN
    from avgn_edge.bundle.manifest import Manifest

LOOKS = 16
FRAMES, SOUND, FRONT_END, NETWORK = "decode frames", "decode sound", "log-mel", "network"


class Decoder(Protocol):
    """One library's way to the pixels and the sound of a clip."""

    name: str

    def duration_s(self, path: Path) -> float:
        """Return how long the video is."""

    def frames(self, path: Path, seconds: list[float]) -> NDArray[np.uint8]:
        """Decode the frames shown at `seconds`: uint8 [n, 224, 224, 3], RGB."""

    def sound(self, path: Path) -> NDArray[np.float32]:
        """Decode all of the sound: float32 [n], mono at 16 kHz."""


class PyAV:
    """PyAV with `thread_type` AUTO, which is the fastest of its settings for runs of frames."""

    name = "PyAV"

    def duration_s(self, path: Path) -> float:
        """Return how long the video is."""
        import av  # noqa: PLC0415 - not before torchcodec has found its libraries

        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return float((stream.duration or 0) * (stream.time_base or 0))

    def frames(self, path: Path, seconds: list[float]) -> NDArray[np.uint8]:
        """Seek to each frame and decode on to it."""
        return plain.frames_at(path, seconds)

    def sound(self, path: Path) -> NDArray[np.float32]:
        """Decode and resample all of it."""
        return plain.whole_sound(path)


class TorchCodec:
    """torchcodec at its fastest: the header's word for the frames' times, FFmpeg's choice of threads, scaled inside."""

    name = "torchcodec"

    def __init__(self) -> None:
        # Optional: its names are looked up where it is.
        self._decoders: Any = import_module("torchcodec.decoders")
        self._scaled: Any = [import_module("torchcodec.transforms").Resize((plain.RESIZE, plain.RESIZE))]

    def duration_s(self, path: Path) -> float:
        """Return how long the video is."""
        return float(self._video(path).metadata.duration_seconds)

    def frames(self, path: Path, seconds: list[float]) -> NDArray[np.uint8]:
        """Ask for all of them at once."""
        found: NDArray[np.uint8] = self._video(path).get_frames_played_at(seconds=seconds).data.numpy()
        inside = slice(plain.OFFSET, plain.OFFSET + plain.CROP)
        return found[:, inside, inside]

    def sound(self, path: Path) -> NDArray[np.float32]:
        """Decode and resample all of it."""
        decoder = self._decoders.AudioDecoder(str(path), sample_rate=SAMPLE_RATE, num_channels=1)
        heard: NDArray[np.float32] = decoder.get_all_samples().data[0].numpy()
        return heard

    def _video(self, path: Path) -> Any:  # noqa: ANN401 - torchcodec is optional
        return self._decoders.VideoDecoder(
            str(path),
            dimension_order="NHWC",
            num_ffmpeg_threads=0,
            seek_mode="approximate",
            transforms=self._scaled,
        )


class Pipeline:
    """A decoder and the network: 16 centre frames, the whole sound, all glances, 16 looks."""

    def __init__(self, decoder: Decoder, model: AVGN) -> None:
        self._decoder, self._model = decoder, model

    def run(self, path: Path) -> dict[str, float]:
        """Classify a clip; return the seconds of each stage."""
        import torch  # noqa: PLC0415

        spent: dict[str, float] = {}
        moments = self._model.settings.moments
        with _timing(spent, FRAMES):
            seconds = plain.centres(self._decoder.duration_s(path), moments)
            frames = self._decoder.frames(path, seconds)
        with _timing(spent, SOUND):
            sound = self._decoder.sound(path)
        with _timing(spent, FRONT_END):
            spectrograms = log_mel(plain.windows_of(sound, seconds))
        with _timing(spent, NETWORK):
            given = torch.from_numpy(np.ascontiguousarray(frames)), torch.from_numpy(spectrograms)
            run_network(self._model, *given)
        return spent


def random_network(settings: Settings) -> AVGN:
    """Build the network in PyTorch with weights that mean nothing."""
    import torch  # noqa: PLC0415

    from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: PLC0415

    torch.manual_seed(0)
    return AVGN(settings).eval()


def choose_threads(model: AVGN) -> int:
    """Let PyTorch use all cores, or one where that is faster: threads wait for one another on cores that are busy."""
    import torch  # noqa: PLC0415

    moments, side = model.settings.moments, model.settings.frame_size
    given = torch.zeros(moments, side, side, 3, dtype=torch.uint8), torch.zeros(moments, 1, FRAMES_OF_SOUND, MEL_BANDS)
    taken: dict[int, float] = {}
    for threads in {1, usable_cores()}:
        torch.set_num_threads(threads)
        for _ in range(2):  # the first one allocates
            started = time.perf_counter()
            run_network(model, *given)
            taken[threads] = time.perf_counter() - started
    best = min(taken, key=taken.__getitem__)
    torch.set_num_threads(best)
    return best


def run_network(model: AVGN, frames: Tensor, spectrograms: Tensor) -> None:
    """Classify with all glances and 16 looks: uint8 [T, H, W, 3], float [T, 1, 96, 64]."""
    import torch  # noqa: PLC0415

    from avgn_edge.architectures.avgn.network.inference import classify  # noqa: PLC0415

    classify(model, frames, spectrograms, torch.ones(len(frames), dtype=torch.bool), GLANCE_ORDER, LOOKS)


def settings_of(manifest: Manifest) -> Settings:
    """Return the preset that a bundle was made of, as far as its sizes tell; ValueError where it was none."""
    given = manifest.settings
    for name in ("small", "paper"):
        settings = preset(name, manifest.labels, manifest.task)
        ours = (settings.patch_size, settings.policy_hidden, settings.classifier_dim, settings.glances)
        if ours == (given.patch_size, given.policy_state, given.classifier_state, given.glances):
            return settings
    raise ValueError(f"the network of {manifest.name} is of neither preset: it cannot be built again in PyTorch")


@contextmanager
def _timing(spent: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    spent[name] = time.perf_counter() - started
