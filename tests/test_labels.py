"""What one part of the package takes for a label, all of them do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgn_edge._base.errors import BundleError, DataError
from avgn_edge._base.text import fault, fault_of_list
from avgn_edge.architectures.avgn.network.settings import preset
from avgn_edge.bundle.manifest import check_words
from avgn_edge.data.datasets import DataSet, LabelledClip


@pytest.mark.parametrize("label", ["dog", "1", "Trink Kaffee, schwarz", "犬", "a|b", '"big"', "x" * 200])
def test_what_can_be_a_label(label):
    assert fault(label) is None


@pytest.mark.parametrize("label", ["", " ", "walk ", "\twalk", "wa\nlk", "wa\x00lk", "\ud800", "\ufeffwalk", "x" * 201])
def test_what_cannot(label):
    assert fault(label) is not None


def passes(action, error):
    try:
        action()
    except error:
        return False
    return True


@given(st.text(max_size=4) | st.text(min_size=199, max_size=202))
def test_data_sets_networks_and_bundles_agree(label):
    good = fault(label) is None
    labels = (label, "another label")
    clips = [LabelledClip(Path("a.mp4"), "a.mp4", labels)]
    assert passes(lambda: DataSet.of(Path("set"), clips), DataError) == good
    assert passes(lambda: preset("small", labels), ValueError) == good
    assert passes(lambda: check_words("name", labels, "licence"), BundleError) == good


@pytest.mark.parametrize("labels", [(), ("a", "a"), ("a", "")])
def test_lists_that_no_network_has(labels):
    assert fault_of_list(labels) is not None
    with pytest.raises(ValueError, match="label"):
        preset("small", labels)
