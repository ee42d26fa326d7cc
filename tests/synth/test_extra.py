"""Without Pillow the composer says which extra brings it."""

import sys

import pytest

from avgn_edge._base.errors import MissingExtraError
from avgn_edge.data.synth import own


def test_missing_pillow_names_the_extra(monkeypatch):
    own.pillow.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"avgn-edge\[train\]"):
        own.pillow()
    own.pillow.cache_clear()
