"""Tests of training send themselves signals."""

from interruptions import signals_as_usual  # noqa: F401 - a fixture for all tests
