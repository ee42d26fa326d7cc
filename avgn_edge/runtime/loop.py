"""The loop that pays: a network's policy offers what to run next, the budget takes it or refuses, answers end it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avgn_edge.media.clip import OutOfTime
from avgn_edge.runtime.exits import confidence

if TYPE_CHECKING:
    from avgn_edge.runtime.budget import Ledger, Run
    from avgn_edge.runtime.exits import Exit, Exits
    from avgn_edge.runtime.moments_table import MomentsTable
    from avgn_edge.runtime.sessions import Floats


@dataclass(frozen=True)
class Answer:
    """What a step says of the clip."""

    step: int
    """The exit step: which temperature and which threshold it has."""
    scores: Floats
    """Probabilities [C], not tempered."""
    more: bool = False
    """Whether another answer of the same offer follows: nothing can end the clip here."""


@dataclass(frozen=True)
class Offer:
    """What a policy would run next, and what that costs."""

    runs: tuple[Run, ...]
    """Everything that must fit into the budget for it to be worth beginning, decoding included."""
    take: Callable[[], Iterable[Answer]]
    """Run it. Each answer is told before the next is asked for. OutOfTime counts as a refusal."""
    must: bool = False
    """Run it whatever the budget says: an answer that comes late is better than none."""


class Policy(Protocol):
    """What a network decides about one clip; between two offers it runs no graph and decodes nothing."""

    seen: MomentsTable
    """What is known of the clip's moments: all that reports read."""
    exits: Exits
    """Temperatures and thresholds that hold now."""

    @property
    def wanted_graphs(self) -> tuple[str, ...]:
        """The graphs that the budget reaches, those needed first in front: they are opened beside everything else."""
        ...

    def offers(self) -> Generator[Offer, bool, Exit]:
        """Offer one thing after the other; each is sent back as taken or not. What it returns is why the clip ended."""
        ...


@dataclass(frozen=True)
class Told:
    """The answer so far."""

    probabilities: Floats
    """[C], tempered; before the first answer, uniform."""
    exit: Exit | None
    """Why the clip ended here; None where it goes on."""
    step: int | None
    """The exit step that it is of; None before the first."""


def run(policy: Policy, ledger: Ledger, task: str, classes: int) -> Iterator[Told]:
    """Run one clip, and tell each answer that changed; the last one has its `exit` set (AVGN, section 3.5).

    The next offer is asked for before an answer is told, so that the last answer is known to be the last.
    """

    def affordable(offer: Offer) -> bool:
        return offer.must or ledger.affords(*offer.runs)

    probabilities: Floats = np.full(classes, 1 / classes, dtype=np.float32)
    offers = policy.offers()
    offer = next(offers)
    ended: Exit | None = None
    step: int | None = None
    while ended is None:
        answer, sure, taken = None, 0.0, affordable(offer)
        try:
            for answer in offer.take() if taken else ():
                scores = policy.exits.tempered(answer.scores, answer.step, task)
                probabilities, sure = scores.astype(np.float32), float(confidence(scores, task))
                step = answer.step
                if answer.more:
                    yield Told(probabilities, None, step)
        except OutOfTime:
            taken = False
        try:
            offer = offers.send(taken)
            while not affordable(offer):
                offer = offers.send(False)
        except StopIteration as end:
            ended = end.value
        if answer is not None and sure >= policy.exits.threshold(answer.step):
            ended = "confident"
        if answer is not None or ended is not None:
            yield Told(probabilities, ended, step)
    offers.close()
