from __future__ import annotations

import os
import signal

from interruptions import signals_as_usual  # noqa: F401 - a fixture

from avgn_edge._base.signals import Listening


class Counting(Listening):
    """Counts what it hears."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def heard(self):
        self.count += 1


def heard(*numbers):
    with Counting() as counting:
        for number in numbers:
            os.kill(os.getpid(), number)
    return counting.count


def test_ctrl_c_is_heard_each_time_and_sigterm_once():
    assert heard(signal.SIGINT, signal.SIGINT) == 2
    assert heard(signal.SIGTERM, signal.SIGTERM) == 1
    assert heard(signal.SIGTERM, signal.SIGINT) == 2


def test_what_is_ignored_stays_so(monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert heard(signal.SIGINT) == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
