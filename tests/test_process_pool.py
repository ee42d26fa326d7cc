"""Worker processes: deaf to the signals of a job, ended by their parent alone."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from interruptions import await_end, children, signals_as_usual, started  # noqa: F401 - one is a fixture

from avgn_edge._base.processes import map_in_processes
from avgn_edge._base.signals import kept_from_children, obey_parent_alone


def signal_itself(number: int) -> int:
    for one in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), one)
    time.sleep(0.2)
    return number * number


SCRIPT = """
import time
from avgn_edge._base.processes import map_in_processes
from avgn_edge.cli.console import Interruptible

if __name__ == "__main__":
    try:
        with Interruptible():
            for _ in map_in_processes(time.sleep, [0.05] * 5000, 2):
                print("one", flush=True)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are counted as on Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_ends_the_first_which_ends_the_others(tmp_path, number):
    (tmp_path / "script.py").write_text(SCRIPT)
    with started(tmp_path / "script.py") as process:
        assert process.stdout.readline() == "one\n"
        workers = children(process.pid)
        assert len(workers) >= 2
        os.killpg(process.pid, number)
        out, errors = process.communicate(timeout=60)
        await_end(workers)
    assert (out.splitlines()[-1], errors) == ("interrupted", "")


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
