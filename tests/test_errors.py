"""Errors are part of the interface: one line, three parts, and they travel between processes."""

from __future__ import annotations

import pickle

import pytest

from avgn_edge._base.errors import (
    AvgnEdgeError,
    BudgetError,
    BundleError,
    ClipError,
    DataError,
    DeviceError,
    MissingExtraError,
)


@pytest.mark.parametrize("kind", [AvgnEdgeError, BudgetError, BundleError, ClipError, DataError, DeviceError])
def test_an_error_is_one_line_of_three_parts(kind):
    error = kind("a\nb", "because", "do this")
    assert str(error) == "a b: because: do this"


@pytest.mark.parametrize("error", [ClipError("a", "b", "c"), MissingExtraError("synth", "pillow", "train")])
def test_an_error_comes_back_whole_from_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.what, again.why, again.what_to_do) == (
        str(error),
        error.what,
        error.why,
        error.what_to_do,
    )


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ClipError, ValueError),
        (BundleError, ValueError),
        (BudgetError, ValueError),
        (DeviceError, RuntimeError),
        (MissingExtraError, ImportError),
    ],
)
def test_an_error_is_also_the_builtin_it_resembles(kind, builtin):
    assert issubclass(kind, builtin)
