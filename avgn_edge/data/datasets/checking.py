"""Which clips of a data set can be used: every one is opened, in worker processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Final

from avgn_edge._base.errors import ClipError, DataError
from avgn_edge._base.processes import map_in_processes
from avgn_edge.data.datasets.data_set import DataSet, LabelledClip, listed
from avgn_edge.media.file_clip import ENDS_EARLY
from avgn_edge.media.opening import open_clip

MOST_UNREADABLE: Final = 0.1
FEWEST_OF_CLASS: Final = 5
"""Training clips of a class below which it is worth a warning."""
NAMED: Final = 3
"""How many clips a message names."""
CLIPS_A_TASK: Final = 8


@dataclass(frozen=True)
class Findings:
    """What `check` found; clips are named as the data set does."""

    dataset: DataSet
    """What was checked."""
    usable: DataSet
    """Its readable clips; labels and task are those of the whole."""
    unreadable: tuple[tuple[str, str], ...]
    """(name, why) of each clip that cannot be read."""
    without_audio: tuple[str, ...]
    """Readable clips with no track of sound."""
    without_video: tuple[str, ...]
    """Readable clips with nothing to see."""
    doubtful: tuple[tuple[str, str], ...]
    """(name, what is wrong) of readable clips with damage in the place that was looked at."""

    @property
    def training_clips(self) -> dict[str, int]:
        """How many readable clips there are to train on, of each class: those of "train", or of no split."""
        counts = Counter(label for clip in self.usable.clips if clip.split in {None, "train"} for label in clip.labels)
        return {label: counts[label] for label in self.dataset.labels}

    @property
    def too_few_of_class(self) -> tuple[tuple[str, int], ...]:
        """The classes with fewer than five training clips, and how many they have."""
        return tuple((label, count) for label, count in self.training_clips.items() if count < FEWEST_OF_CLASS)

    def warnings(self) -> tuple[str, ...]:
        """Return a line for each thing that the user should know, and one for each unreadable clip."""
        clips = len(self.usable.clips)
        lines = [f"{name}: skipped: {why}" for name, why in self.unreadable]
        lines += [f"{name}: {what}" for name, what in self.doubtful]
        if self.without_audio:
            lines.append(f"{len(self.without_audio)} of {clips} clips have no sound: {_some(self.without_audio)}")
        if self.without_video:
            lines.append(f"{len(self.without_video)} of {clips} clips have no video: {_some(self.without_video)}")
        few = [f"{label} ({count})" for label, count in self.too_few_of_class]
        if few and any(self.training_clips.values()):
            lines.append(f"fewer than {FEWEST_OF_CLASS} clips to train on in {len(few)} classes: {_some(few)}")
        return tuple(lines)

    def require_readable(self) -> None:
        """Raise DataError where more than a tenth of the clips cannot be read."""
        bad, clips = len(self.unreadable), len(self.dataset.clips)
        if bad > MOST_UNREADABLE * clips:
            some = _some([f"{name} ({why})" for name, why in self.unreadable])
            why = f"{bad} of {clips} clips cannot be read, more than a tenth: {some}"
            raise DataError(f"data set {self.dataset.source}", why, "check the paths, or take the clips out")

    def require(self) -> None:
        """Raise DataError where nothing can be learned from the set.

        More than a tenth of the clips cannot be read, the readable ones have a single class, or a class has no readable
        clip to train on.
        """
        self.require_readable()
        what = f"data set {self.dataset.source}"
        classes = sorted({label for clip in self.usable.clips for label in clip.labels})
        if len(classes) < 2:
            why = f"there is a single class, {_some(classes)}, in the clips that can be read"
            raise DataError(what, why, "give clips of two classes or more")
        none = [label for label, count in self.training_clips.items() if not count]
        if none:
            why = f"there is no clip to train on that can be read in {len(none)} classes: {_some(none)}"
            raise DataError(what, why, "add training clips of them, or take the classes out")


def check(
    dataset: DataSet, workers: int = 1, progress: Callable[[int, int], None] = lambda _done, _of: None
) -> Findings:
    """Open every clip, and decode the frame in its middle and the sound around it.

    Finds files that are missing, empty, no media, cut off before their middle, or without what the decoder needs to
    start, and segments outside their files. Does not find damage elsewhere, a file cut off after its middle, pictures
    or sound that show and say nothing, or wrong labels.

    Args:
        dataset: The clips.
        workers: Processes that open them.
        progress: Called after each clip with how many of how many are done.

    Raises:
        DataError: A worker process died, as it does without memory.
    """
    seen = []
    for done, one in enumerate(_seen(dataset.clips, workers), start=1):
        seen.append(one)
        progress(done, len(dataset.clips))
    both = list(zip(dataset.clips, seen, strict=True))
    readable = [(clip, one) for clip, one in both if one.why_not is None]
    return Findings(
        dataset=dataset,
        usable=replace(dataset, clips=tuple(clip for clip, _ in readable)),
        unreadable=tuple((clip.name, one.why_not) for clip, one in both if one.why_not is not None),
        without_audio=tuple(clip.name for clip, one in readable if not one.audio),
        without_video=tuple(clip.name for clip, one in readable if not one.video),
        doubtful=tuple((clip.name, one.damage) for clip, one in readable if one.damage is not None),
    )


@dataclass(frozen=True)
class _Seen:
    """What is known of a clip once it was opened."""

    video: bool = False
    audio: bool = False
    damage: str | None = None
    why_not: str | None = None


def _seen(clips: tuple[LabelledClip, ...], workers: int) -> Iterator[_Seen]:
    """Look at every clip, in order."""
    try:
        yield from map_in_processes(_look, clips, workers, CLIPS_A_TASK)
    except BrokenProcessPool as error:
        why = "a worker process died while it opened clips"
        raise DataError("checking the data set", why, "use fewer workers: memory may be short") from error


def _look(clip: LabelledClip) -> _Seen:
    try:
        with open_clip(clip.path, count=1, start_s=clip.start_s, end_s=clip.end_s) as opened:
            if opened.has_video:
                opened.frames([0])
            opened.windows()
            damage = [text for text in opened.warnings if text != "no audio track"]
            cut_off = next((text.partition(":")[0] for text in damage if text.startswith(ENDS_EARLY)), None)
            return _Seen(opened.has_video, opened.has_audio, "; ".join(damage) or None, cut_off)
    except ClipError as error:
        return _Seen(why_not=error.why)


def _some(names: Sequence[str]) -> str:
    return listed(names, NAMED)
