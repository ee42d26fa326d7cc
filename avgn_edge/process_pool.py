"""A function done on many things in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from avgn_edge.signals import kept_from_children, obey_parent_alone

T = TypeVar("T")
R = TypeVar("R")


def map_in_processes(function: Callable[[T], R], things: Iterable[T], workers: int, chunk: int = 1) -> Iterator[R]:
    """Yield what `function` makes of each of `things`, in their order; each of `workers` takes `chunk` at a time.

    With one worker or none this process does it itself. BrokenProcessPool where a worker dies.
    """
    if workers <= 1:
        yield from map(function, things)
        return
    # Not "fork": the threads of whoever calls, an engine's or a progress bar's, would be cut off in mid-step.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=obey_parent_alone) as pool:
        with kept_from_children():  # which start now, all of them
            done = pool.map(function, things, chunksize=chunk)
        yield from done
