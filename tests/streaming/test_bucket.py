"""A budget by the second."""

from __future__ import annotations

import numpy as np
import pytest

from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.stream.stream_settings import Bucket


class Spent:
    def __init__(self, macs=0, seconds=0.0):
        self.spent_macs, self.elapsed_s = macs, seconds


@pytest.mark.parametrize("seed", range(5))
def test_no_span_of_time_spends_more_than_its_share_and_the_bucket(seed):
    rng = np.random.default_rng(seed)
    bucket, spent = Bucket(Budget("x", macs=1_000), 700), []
    for time_s in np.cumsum(rng.exponential(0.3, 400)):
        bucket.fill(float(time_s))
        wish = int(rng.integers(0, 900))
        macs = min(wish, bucket.left.macs)
        bucket.spend(Spent(macs))
        spent.append((float(time_s), macs))
    for first in range(len(spent)):
        for last in range(first, min(len(spent), first + 60)):
            total = sum(macs for _, macs in spent[first : last + 1])
            assert total <= 1_000 * (spent[last][0] - spent[first][0]) + 700 + 1e-6
    assert sum(macs for _, macs in spent) > 0.6 * 1_000 * spent[-1][0]  # and it is used


def test_what_overran_is_paid_back_before_anything_is_bought():
    bucket = Bucket(Budget("x", seconds=0.1), 0.1)
    bucket.fill(0.0)
    bucket.spend(Spent(seconds=0.25))
    bucket.fill(1.0)
    assert bucket.left.seconds == 0.0
    assert bucket.fullness == 0.0
    bucket.fill(2.0)
    assert bucket.left.seconds == pytest.approx(0.05)


def test_without_a_limit_it_is_always_full():
    bucket = Bucket(Budget(), 1.0)
    bucket.spend(Spent(macs=10**12))
    assert bucket.fullness == 1.0
    assert bucket.left == Budget()


def test_time_that_goes_back_brings_nothing_in():
    bucket = Bucket(Budget("x", macs=100), 100)
    bucket.fill(50.0)
    bucket.spend(Spent(macs=100))
    bucket.fill(0.0)
    bucket.fill(0.5)
    assert bucket.left.macs == 50
