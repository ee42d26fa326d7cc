"""`--budget`: what can be written, what it means, and what is refused."""

from __future__ import annotations

import pytest

from avgn_edge._base.errors import BudgetError
from avgn_edge.runtime.budget import Budget, smallest


@pytest.mark.parametrize(
    ("text", "macs", "seconds"),
    [
        ("6gflops", 6_000_000_000, None),
        ("6GFLOPS", 6_000_000_000, None),
        ("6 GFlops", 6_000_000_000, None),
        ("  0.25gflops ", 250_000_000, None),
        (".5gflops", 500_000_000, None),
        ("1.gflops", 1_000_000_000, None),
        ("250mflops", 250_000_000, None),
        ("0.1mflops", 100_000, None),
        ("4.35gflops", 4_350_000_000, None),  # 4.35e9 in floating point is a hair less
        ("0.000001mflops", 1, None),
        ("80ms", None, 0.08),
        ("80 MS", None, 0.08),
        ("1.5s", None, 1.5),
        ("1S", None, 1.0),
        ("none", None, None),
        (" NONE ", None, None),
        (None, None, None),
    ],
)
def test_a_budget_is_read(text, macs, seconds):
    budget = Budget.parse(text)
    assert budget.macs == macs
    assert budget.seconds == (None if seconds is None else pytest.approx(seconds))
    assert budget.asked == ("none" if text is None else text.strip().lower())
    assert Budget.parse(budget) is budget


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "6", "gflops", "6 g flops", "six gflops", "-1gflops", "+1gflops", "0gflops", "0s", "1e3mflops"),
        *("nan gflops", "inf s", "1,5s", "1..5s", ".s", "6gflop", "6tflops", "6us", "1 min", "6gflops 80ms", "nones"),
        *("9" * 400 + "s", "9" * 30 + "gflops", "６gflops", "6gflops\x00", "6\ngflops2"),
    ],
)
def test_anything_else_is_one_line_that_says_how_to_write_it(text):
    with pytest.raises(BudgetError, match=r"write it as 6gflops, 250mflops, 80ms, 1\.5s or none") as caught:
        Budget.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("macs", [1, 999_999, 1_000_000, 1_000_001, 176_543_210, 6 * 10**9])
def test_the_smallest_budget_that_is_named_covers_the_price(macs):
    named = Budget.parse(smallest(macs)).macs
    assert macs <= named < macs + 1_000_000 or named == 1_000_000
