"""Sources for the composer's tests: our own media, small folders made here, and real recordings where they are."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="pillow comes with the train extra")

from avgn_edge.data.synth import Sources, clip_rng, plan_clip

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def own_sources():
    return Sources.from_folders()


@pytest.fixture(scope="session")
def real_sources():
    if not (REAL / "objects").is_dir():
        pytest.skip("real recordings are not beside this checkout (../shared/data)")
    return Sources.from_folders(REAL / "objects", REAL / "sounds", REAL / "backgrounds", REAL / "environment")


@pytest.fixture(scope="session", params=["own", "real"])
def any_sources(request):
    return request.getfixturevalue(f"{request.param}_sources")


@pytest.fixture(scope="session")
def plans(own_sources):
    return [plan_clip(clip_rng(11, index), own_sources) for index in range(400)]


@pytest.fixture
def folders(tmp_path):
    """Two classes, two speakers, five pictures of each kind: {name: folder}."""
    import soundfile
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for kind in ("objects", "sounds"):
            (tmp_path / kind / label).mkdir(parents=True)
        for index in range(5):
            picture = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "objects" / label / f"{index}.png")
        for speaker in ("ann", "bob"):
            for index in range(2):
                tone = 0.1 * np.sin(np.arange(3000) * rng.uniform(0.2, 0.5))
                soundfile.write(tmp_path / "sounds" / label / f"{speaker}_{index}.wav", tone, 8000)
    (tmp_path / "backgrounds" / "nested").mkdir(parents=True)
    for index in range(5):
        picture = rng.integers(0, 255, (500 + 400 * index, 300, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "backgrounds" / "nested" / f"{index}.jpg")
    for place in ("rain", "street"):
        (tmp_path / "environment" / place).mkdir(parents=True)
        for index in range(3):
            noise = 0.1 * rng.normal(size=(4000, 2))
            soundfile.write(tmp_path / "environment" / place / f"{index}.wav", noise, 22050)
    return {name: tmp_path / name for name in ("objects", "sounds", "backgrounds", "environment")}
