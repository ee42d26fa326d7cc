"""Which files of a data set to hold out, so that every class keeps its share on both sides.

Rarest class first, after the iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011), which also serves
clips with several labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from avgn_edge.datasets.labelled_clip import LabelledClip


def divided(clips: Iterable[LabelledClip], fraction: float, seed: int) -> frozenset[Path]:
    """Return the files to hold out: about `fraction` of the clips of each label, one at least where that is possible.

    Depends on the seed and the clips' names, not on their order or on the folder they are in. Every label keeps a clip
    that is not held out.
    """
    files = _by_file(clips, seed)
    total: Counter[str] = Counter()
    holding: defaultdict[str, list[Path]] = defaultdict(list)
    for path, counts in files.items():
        total.update(counts)
        for label in counts:
            holding[label].append(path)
    left, held = Counter(total), Counter[str]()
    chosen: set[Path] = set()
    owed = 0.0  # what rounding leaves of one label is made good with the next
    for label in sorted(total, key=lambda label: (total[label], label)):
        owed += fraction * total[label] - held[label]
        for path in holding[label]:
            counts = files[path]
            # Only what brings the label nearer to its share, and is the last training clip of none.
            if path not in chosen and counts[label] < 2 * owed and _spares(left, counts):
                chosen.add(path)
                held.update(counts)
                left.subtract(counts)
                owed -= counts[label]
        owed = min(max(owed, -1.0), 1.0)
    return frozenset(chosen or [path for path, counts in files.items() if _spares(left, counts)][:1])


def _by_file(clips: Iterable[LabelledClip], seed: int) -> dict[Path, Counter[str]]:
    """Return how many clips of each label every file has, the files in an order drawn from the seed and their names."""
    counts: defaultdict[Path, Counter[str]] = defaultdict(Counter)
    names: defaultdict[Path, list[str]] = defaultdict(list)
    for clip in clips:
        counts[clip.path].update(clip.labels)
        names[clip.path].append(clip.name)
    # File names need not be UTF-8.
    keys = {path: f"{seed} {min(found)}".encode(errors="surrogateescape") for path, found in names.items()}
    drawn = {path: sha256(key).digest() for path, key in keys.items()}
    return {path: counts[path] for path in sorted(counts, key=lambda path: (drawn[path], path))}


def _spares(left: Counter[str], counts: Counter[str]) -> bool:
    return all(left[label] > count for label, count in counts.items())
