"""What a time budget leaves of a clip: nothing is begun that is not expected to end in time (AVGN, 3.5).

Dropped are looks first, then glances, then everything but sound, and of the sound what there is no time to read. What a
frame takes to decode is estimated from the container's index and from the frames of this clip decoded before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from avgn_edge.media.clip import Clip
from avgn_edge.media.limit import SoundLimit
from avgn_edge.runtime.graphs import Graphs
from avgn_edge.runtime.ledger import DECODE, DECODE_AUDIO, FRONT_END, Ledger, Run


def sound_limit(ledger: Ledger, graphs: Graphs, order: Sequence[int]) -> SoundLimit | None:
    """What the ledger's time allows of the sound, the moments of `order` first; None without a time budget."""
    if not ledger.timed:
        return None
    return SoundLimit(
        order=order,
        deadline=ledger.latest(),
        each_s=ledger.expect(Run(DECODE_AUDIO)),
        later_s=lambda moments: ledger.expect(Run(FRONT_END, moments), graphs.listening(moments)),
    )


def glance_runs(clip: Clip, moments: Sequence[int]) -> tuple[Run, ...]:
    """What glancing at these moments takes, one after the other, in order of time."""
    return (Run(DECODE, clip.work(moments)), *[Run("global_encoder")] * len(moments)) if moments else ()


def within_reach(clip: Clip, ledger: Ledger, moments: Sequence[int]) -> list[int]:
    """Those of `moments` that there is time to glance at together, the first ones first, in order of time.

    One too far from its key frame is left out, and does not keep those after it from their turn.
    """
    chosen: list[int] = []
    for moment in moments:
        if ledger.affords(*glance_runs(clip, sorted([*chosen, moment]))):
            chosen = sorted([*chosen, moment])
    return chosen
