"""Without Pillow the composer says which extra brings it."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["PIL"] = None
from avgn_edge._base.errors import MissingExtraError
try:
    import avgn_edge.data.synth
except MissingExtraError as error:
    print(error)
"""


def test_missing_pillow_names_the_extra():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "avgn-edge[train]" in done.stdout
