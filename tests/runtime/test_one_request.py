"""What a caller asks for is read once, resolved once, and planned once for all clips that hear as much."""

from __future__ import annotations

import numpy as np
from network_makers import FakeClip

from avgn_edge import Budget, Recognizer
from avgn_edge.architectures.avgn import policy
from avgn_edge.bundle.reader import Bundle
from avgn_edge.runtime import strategy
from avgn_edge.runtime.options import Options


def counted(monkeypatch, place, name):
    calls, real = [], getattr(place, name)
    monkeypatch.setattr(place, name, lambda *asked, **named: calls.append(asked) or real(*asked, **named))
    return calls


def test_a_batch_is_read_resolved_and_planned_once(tiny_bundle: Bundle, monkeypatch):
    read = counted(monkeypatch, Budget, "parse")
    resolved = counted(monkeypatch, strategy, "strategy")
    planned = counted(monkeypatch, policy, "plan_of")
    clips = [FakeClip(np.ones(16, dtype=np.bool_), seed=seed) for seed in range(3)]
    with Recognizer.open(tiny_bundle, "cpu") as recognizer:
        options = Options.of("none")
        assert [recognizer.answer(clip, options).exit for clip in clips] == ["looks"] * 3
        assert (len(read), len(resolved), len(planned)) == (1, 1, 1)
        options = Options.of("50mflops")  # how many glances are certain is asked for each number of moments heard
        assert [recognizer.answer(clip, options).exit for clip in clips] == ["budget"] * 3
        assert (len(read), len(resolved), len(planned)) == (2, 2, 1 + 17)
