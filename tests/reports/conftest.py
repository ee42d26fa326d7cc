"""Fixtures of the tests of reports: a recognizer with the tiny bundle, and records of made clips."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")

from network_makers import made_clip

from avgn_edge.report.record import record
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer


@pytest.fixture(scope="session")
def recognizer(tiny_bundle):
    with Recognizer.open(tiny_bundle, "cpu", "fp32", threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def told(recognizer):
    """The record of a clip with everything: sound, glances, looks."""
    return record(recognizer, lambda: made_clip(3), Options())
