"""Without Pillow the composer says which extra brings it."""

import sys

import pytest

from avgn_edge.errors import MissingExtraError
from avgn_edge.synth import _pillow


def test_missing_pillow_names_the_extra(monkeypatch):
    _pillow.pillow.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"avgn-edge\[train\]"):
        _pillow.pillow()
    _pillow.pillow.cache_clear()
