"""Where caches lie, and that a folder that cannot be written is no error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avgn_edge._base.user_cache import trim, user_cache, writable_cache


def test_the_cache_is_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "avgn-edge"
    assert writable_cache("a", "b") == tmp_path / "avgn-edge" / "a" / "b"
    assert (tmp_path / "avgn-edge" / "a" / "b").is_dir()


@pytest.mark.parametrize("named", ["", "relative/folder"])
def test_else_it_is_in_the_user_s_home(monkeypatch, tmp_path, named):
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert user_cache() == tmp_path / ".cache" / "avgn-edge"


def test_no_home_or_a_file_in_the_way_is_no_cache(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert writable_cache("a") is None

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OSError, match="no home"):
        user_cache()
    assert writable_cache("a") is None


def test_trimming_removes_what_was_written_first_until_the_rest_fits(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    trim(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 3
    trim(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}
    trim(tmp_path / "absent", 0)
