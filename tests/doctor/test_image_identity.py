"""Whether doctor notices an image that is another one than before, or than its pin names."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.core.state import StateManager
from neuroflow.doctor.sample import enabled
from neuroflow.orchestrator.images import image_of, look_at, sha256_of
from tests.doctor.conftest import Patient
from tests.doctor.test_containers import only_qsiprep
from tests.support.images import fake_sif


@pytest.fixture
def image(patient: Patient) -> Path:
    """An image that was recorded once, with a database."""
    image = patient.folder / "images" / "qsiprep-26.1.1.sif"
    fake_sif(image)
    only_qsiprep(patient, image=str(image), runtime="apptainer")
    database = patient.make_database()
    [pipeline] = enabled(patient.config())
    configured = image_of(patient.config(), pipeline)
    assert configured is not None
    facts = look_at(configured)
    assert facts is not None
    StateManager(database).record_image(facts)
    database.close()
    return image


def test_the_same_image(patient: Patient, image: Path) -> None:
    [found] = patient.look("images-same")
    assert (found.severity, found.what.endswith("as before")) == ("ok", True)
    image.touch()  # the same id
    assert patient.codes("images-same") == []


@pytest.mark.provokes("image-changed")
def test_another_image_under_the_same_name(patient: Patient, image: Path) -> None:
    now = fake_sif(image, content=b"other")
    for _ in range(2):  # looking writes nothing down
        [found] = patient.look("images-same")
        assert (found.code, f"and is {now}" in found.what) == ("image-changed", True)
        assert "verify qsiprep --accept" in found.mend


@pytest.mark.provokes("image-off-pin")
def test_an_image_that_is_not_the_pinned_one(patient: Patient, image: Path) -> None:
    digest = sha256_of(image)
    patient.write(pipelines={"qsiprep": {**patient.content["pipelines"]["qsiprep"], "image_digest": digest}})
    assert patient.codes("images-same") == []
    fake_sif(image, content=b"other")
    [found] = patient.look("images-same")
    assert (found.code, digest in found.what) == ("image-off-pin", True)
