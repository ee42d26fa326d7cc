"""A validation set decoded once: what its clips look and sound like, on disk, for every epoch to read.

One NumPy file of records, mapped into memory, of 2.8 MB a clip; beside it a JSON file that says of which clips it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from avgn_edge.datasets import DataSet, LabelledClip
from avgn_edge.errors import DataError
from avgn_edge.media.logmel import FRAMES, MEL_BANDS
from avgn_edge.training.clip_loader import GEOMETRY, MOMENTS, ClipMoments, Failure, Item, Key, Sample

_FORMAT = 1
"""To be raised when what is decoded changes."""


class CachedClips(Dataset[Item]):
    """What `ClipMoments` without augmentation gives, read from disk; failures are remembered like the rest."""

    def __init__(self, records: NDArray[np.void], names: list[str], told: list[dict[str, Any]]) -> None:
        self._records = records
        self._names = names
        self._told = told

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, key: Key) -> Item:
        _, place = key
        name, told = self._names[place], self._told[place]
        if "error" in told:
            return Failure(name, told["error"])
        record = self._records[place]
        frames, spectrograms, heard, target = (np.array(record[field]) for field in self._records.dtype.names or ())
        return Sample(name, frames, spectrograms, heard, target, tuple(told["warnings"]))


def cached_clips(
    dataset: DataSet, path: Path, workers: int = 0, progress: Callable[[int, int], None] | None = None
) -> CachedClips:
    """Open the cache at `path` (.npy), or decode `dataset` into it first, in `workers` processes.

    Decoded again when a file's size or time of change, a segment, a label or their order differs. `progress` is told
    after each clip how many of how many are decoded. Of several training processes one should do this, and the
    others wait. Raises DataError where the cache cannot be written.
    """
    note, key = path.with_suffix(".json"), _key(dataset)
    names = [clip.name for clip in dataset.clips]
    told = _told(note, key)
    if told is None or not path.exists():
        try:
            told = _write(dataset, path, workers, progress)
            _write_note(note, key, told)
        except OSError as error:
            size = len(names) * _record(dataset).itemsize / 1e9
            raise DataError(
                f"cache {path}",
                f"it cannot be written ({error.strerror or error})",
                f"give a folder with {size:.1f} GB of room, or do without",
            ) from error
    return CachedClips(np.load(path, mmap_mode="r"), names, told)


def _write(
    dataset: DataSet, path: Path, workers: int, progress: Callable[[int, int], None] | None
) -> list[dict[str, Any]]:
    """Decode every clip; return what there is to tell about each."""
    clips = ClipMoments(dataset, None)
    loader = DataLoader(
        clips,
        batch_sampler=[[(0, place)] for place in range(len(clips))],
        num_workers=workers,
        collate_fn=_alone,
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),
    )
    record, told = _record(dataset), list[dict[str, Any]]()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Written one after another, not through a map: a full disk is then an error and not the end of the process.
        with unfinished.open("wb") as file:
            descr = np.lib.format.dtype_to_descr(record)
            np.lib.format.write_array_header_2_0(file, {"descr": descr, "fortran_order": False, "shape": (len(clips),)})
            for item in loader:
                row = np.zeros((), record)
                if isinstance(item, Sample):
                    for field in record.names or ():
                        row[field] = getattr(item, field)
                    told.append({"warnings": item.warnings})
                else:
                    told.append({"error": item.error})
                file.write(row.tobytes())
                if progress is not None:
                    progress(len(told), len(clips))
        path.with_suffix(".json").unlink(missing_ok=True)  # it speaks of the old records
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return told


def _alone(items: list[Item]) -> Item:
    return items[0]


def _record(dataset: DataSet) -> np.dtype[np.void]:
    target = (np.int64, ()) if dataset.task == "single-label" else (np.float32, (len(dataset.labels),))
    return np.dtype(
        [
            ("frames", np.uint8, (MOMENTS, GEOMETRY.crop, GEOMETRY.crop, 3)),
            ("spectrograms", np.float32, (MOMENTS, 1, FRAMES, MEL_BANDS)),
            ("heard", np.bool_, (MOMENTS,)),
            ("target", *target),
        ]
    )


def _key(dataset: DataSet) -> str:
    clips = [
        (str(clip.path), clip.name, clip.labels, clip.start_s, clip.end_s, *_stamp(clip)) for clip in dataset.clips
    ]
    return hashlib.sha256(repr((_FORMAT, dataset.task, dataset.labels, clips)).encode()).hexdigest()


def _stamp(clip: LabelledClip) -> tuple[int, int]:
    try:
        status = clip.path.stat()
    except OSError:  # a failure to be, of which the error will tell
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _told(note: Path, key: str) -> list[dict[str, Any]] | None:
    """Return what was told about each clip if the note is about these; None otherwise."""
    try:
        read = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read["clips"] if isinstance(read, dict) and read.get("key") == key else None


def _write_note(note: Path, key: str, told: list[dict[str, Any]]) -> None:
    unfinished = note.with_name(f".{note.name}.{os.getpid()}.part")
    unfinished.write_text(json.dumps({"key": key, "clips": told}), encoding="utf-8")
    unfinished.replace(note)
