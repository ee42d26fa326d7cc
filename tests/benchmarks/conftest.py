"""One small clip that the benchmarks made."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def small_spec():
    """Sixteen seconds in tiny frames: a pattern of eight, twice."""
    pytest.importorskip("PIL")
    from benchmarks.clips import ClipSpec

    return ClipSpec(16, 64, "h264", 2, 0.2, width=96, pattern_s=8)


@pytest.fixture(scope="session")
def small_clip(small_spec, tmp_path_factory):
    from benchmarks.clips import made

    return made(small_spec, tmp_path_factory.mktemp("clips"))
