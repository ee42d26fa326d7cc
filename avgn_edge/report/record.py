"""All that a clip's page shows: the answer, how it formed step by step, and what was heard and seen on the way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.clip import ClipWrapper
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.front_end import frame_geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from avgn_edge.bundle.architecture import GraphRole
    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.media.clip import Clip, SoundLimit
    from avgn_edge.media.moments import Moment
    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.moments_table import MomentReport
    from avgn_edge.runtime.options import Options
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result


class RecordingClip(ClipWrapper):
    """A clip around another one that keeps the frames and the sound that were delivered."""

    def __init__(self, clip: Clip) -> None:
        super().__init__(clip)
        self.seen: dict[int, NDArray[np.uint8]] = {}
        """The delivered frames by moment, uint8 [crop, crop, 3] each, in the order of delivery."""
        self.sound: NDArray[np.float32] | None = None
        """The delivered windows, float32 [moments, samples]."""
        self.heard: NDArray[np.bool_] | None = None
        """Which of them have sound, bool [moments]."""

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments, as every clip does, and keep it."""
        self.sound, self.heard = self._clip.windows(limit)
        return self.sound, self.heard

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Return the frames of these moments, as every clip does, and keep them."""
        frames = self._clip.frames(indices, deadline)
        self.seen.update(zip(indices, frames, strict=True))
        return frames

    def prefetch(self, indices: Sequence[int]) -> None:
        """Let the other clip decode in the background."""
        self._clip.prefetch(indices)

    @property
    def prefetched_s(self) -> float:
        """Seconds that the other clip has decoded in the background."""
        return self._clip.prefetched_s

    def stop_prefetch(self) -> None:
        """Stop the other clip's decoding in the background."""
        self._clip.stop_prefetch()

    def hint(self, indices: Sequence[int]) -> None:
        """Tell the other clip what is likely to be asked for."""
        self._clip.hint(indices)


Kind = Literal["listened", "glanced", "looked", "began"]
Box = tuple[float, float, float, float]
"""x, y, width, height, in pixels of the frame as displayed."""


@dataclass(frozen=True)
class Step:
    """The answer after one step."""

    kind: Kind
    """The last thing done before this answer; "began" for an answer with nothing heard or seen."""
    moment: int | None
    """The moment that was looked at."""
    glanced: tuple[int, ...]
    """All moments that were glanced at so far."""
    spent_gflops: float
    """All GFLOPs so far. Looks that ran together are all counted at the first of them."""
    elapsed_ms: float
    probabilities: NDArray[np.float32]
    """Of every class, float32 [C]."""


@dataclass(frozen=True)
class Record:
    """A clip's classification from its beginning to its end."""

    result: Result
    budget: Budget
    roles: tuple[GraphRole, ...]
    """What the network's graphs do."""
    labels: tuple[str, ...]
    task: str
    steps: tuple[Step, ...]
    moments: tuple[Moment, ...]
    has_video: bool
    has_audio: bool
    display_size: tuple[int, int] | None
    """(width, height) of the frames as displayed."""
    shown: Box | None
    """What the network sees of a frame."""
    frames: Mapping[int, NDArray[np.uint8]]
    """The frames by moment, uint8 [crop, crop, 3], in the order of glances: the shown part, squeezed to a square."""
    heard: NDArray[np.bool_]
    """Which moments have sound, bool [moments]."""
    spectrograms: NDArray[np.float32]
    """Log-mel of the moments that were heard, float32 [heard, frames, bands]."""
    silence: float
    """What they are where there is no sound."""
    gflops: Mapping[str, float]
    """10^9 multiply-accumulates by graph; their sum is `result.budget.spent_gflops`."""

    @property
    def first_glanced(self) -> frozenset[int]:
        """The moments that were glanced at before the first look. Later glances were needed for a look."""
        return frozenset(next((step.glanced for step in self.steps if step.kind == "glanced"), ()))

    @property
    def looked(self) -> tuple[MomentReport, ...]:
        """The moments that were looked at, in the order of the looks."""
        ranked = [(moment.rank, moment) for moment in self.result.moments if moment.rank is not None]
        return tuple(moment for _, moment in sorted(ranked, key=lambda pair: pair[0]))


def record(recognizer: Recognizer, open_it: Callable[[], Clip], options: Options) -> Record:
    """Classify a clip as `Recognizer.answers` does, and keep all that its page shows.

    Args:
        recognizer: The recognizer to use.
        open_it: Opens the clip, which is closed in the end. Of a path: `lambda: recognizer.open_clip(path)`.
        options: What is asked for.

    Raises:
        AvgnEdgeError: Whatever `open_it` and `Recognizer.answers` raise.
    """
    manifest = recognizer.manifest
    network = manifest.network
    with RecordingClip(open_it()) as clip:
        steps: list[Step] = []
        result: Result | None = None
        for result in recognizer.answers(clip, options):
            _add(steps, result, network.listener)
        if result is None:
            raise AssertionError("a clip that raises nothing has an answer")
        sound, heard = clip.sound, clip.heard
        if sound is None or heard is None:
            raise AssertionError("every clip is listened to")
        # A frame may have been decoded, and then there was no time left for it.
        frames = {index: frame for index, frame in clip.seen.items() if result.moments[index].glanced}
        size = clip.display_size if clip.has_video and frames else None
        given = manifest.preprocessing
        side = float(given.frame_size)
        spectrograms = log_mel(sound[heard], given.sound)[:, 0]
        return Record(
            result=result,
            budget=options.budget,
            roles=network.graphs,
            labels=manifest.labels,
            task=manifest.task,
            steps=tuple(steps),
            moments=clip.moments,
            has_video=clip.has_video,
            has_audio=clip.has_audio,
            display_size=size,
            shown=None if size is None else frame_geometry(given).to_source((0.0, 0.0, side, side), size),
            frames=frames,
            heard=heard,
            spectrograms=spectrograms if given.sound.time_first else spectrograms.swapaxes(1, 2),
            silence=given.sound.silence,
            gflops=_gflops(result, manifest),
        )


def _add(steps: list[Step], result: Result, listener: str) -> None:
    """Append the step that led to an answer. An answer that only adds why the clip ended replaces the last step."""
    looks = result.budget.looks
    kind: Kind = "began"
    if looks:
        kind = "looked"
    elif result.budget.glances:
        kind = "glanced"
    elif any(run.graph == listener for run in result.runs):
        kind = "listened"
    step = Step(
        kind=kind,
        moment=next((moment.index for moment in result.moments if looks and moment.rank == looks - 1), None),
        glanced=tuple(moment.index for moment in result.moments if moment.glanced),
        spent_gflops=result.budget.spent_gflops,
        elapsed_ms=result.timing_ms.total,
        probabilities=result.probabilities,
    )
    if steps and steps[-1].moment == step.moment and np.array_equal(steps[-1].probabilities, step.probabilities):
        steps[-1] = replace(step, kind=steps[-1].kind)
    else:
        steps.append(step)


def _gflops(result: Result, manifest: Manifest) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for run in result.runs:
        spent[run.graph] += manifest.cost[run.graph].macs(run.items) / 1e9
    return dict(spent)
