from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgn_edge.media.moments import GLANCE_ORDER, centred_moments


@given(st.floats(0, 1e6), st.integers(1, 64))
def test_bins_tile_the_clip_and_centres_lie_inside(duration_s, count):
    moments = centred_moments(duration_s, count)
    assert [moment.index for moment in moments] == list(range(count))
    assert moments[0].bin_start_s == 0
    assert math.isclose(moments[-1].bin_end_s, duration_s)
    for before, after in pairwise(moments):
        assert before.bin_end_s == after.bin_start_s
    assert all(moment.bin_start_s <= moment.time_s <= moment.bin_end_s for moment in moments)


@given(st.floats(-10, 100))
def test_a_moved_moment_stays_in_its_bin(time_s):
    moment = centred_moments(16.0)[3].at(time_s)
    assert moment.bin_start_s <= moment.time_s <= moment.bin_end_s


@pytest.mark.parametrize(("duration_s", "count"), [(-1.0, 16), (math.nan, 16), (math.inf, 16), (1.0, 0)])
def test_nonsense_is_refused(duration_s, count):
    with pytest.raises(ValueError, match="must be"):
        centred_moments(duration_s, count)


def test_glance_order_is_a_permutation_that_starts_coarse():
    assert sorted(GLANCE_ORDER) == list(range(16))
    assert GLANCE_ORDER[:4] == (7, 0, 15, 3)
