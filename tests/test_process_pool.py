"""Worker processes: deaf to the signals of a job, ended by their parent alone."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context

import pytest

from avgn_edge.process_pool import map_in_processes
from avgn_edge.signals import kept_from_children, obey_parent_alone


def signal_itself(number: int) -> int:
    for one in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), one)
    time.sleep(0.2)
    return number * number


def live(ready) -> None:
    obey_parent_alone()
    ready.send(True)
    time.sleep(60)


@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="here nothing tells whose signal it is")
def test_workers_hear_no_signal_but_their_parents():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert list(map_in_processes(signal_itself, range(4), 2)) == [0, 1, 4, 9]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=live, args=(theirs,))
    with kept_from_children():
        process.start()
    assert ours.recv()
    process.terminate()
    process.join(20)
    assert process.exitcode == 1


def test_one_worker_is_this_process():
    assert list(map_in_processes(lambda number: (number, os.getpid()), "ab", 1)) == [(one, os.getpid()) for one in "ab"]
