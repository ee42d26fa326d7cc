"""Processes that are sent signals, wherever the tests were started from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def signals_as_usual():
    """Let Ctrl-C be heard by a test and what it starts, where the tests themselves were started with & or by nohup.

    A shell has it ignored there, and what is started inherits that.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def started(*arguments):
    """Run Python as the first process of a group of its own, with pipes of text; the whole group is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads that wait for one another are slow on a busy machine
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def children(process):
    """List the processes that a process, one of its threads or one of its children started; for Linux."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        found += [int(number) for number in path.read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def await_end(processes):
    """Wait until none of the processes runs; fail if they live on."""
    deadline = time.monotonic() + 30
    while left := [pid for pid in processes if _running(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def _running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
