"""Each attempt names the image that it was made with; a changed one is noticed, and a pinned one must fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from neuroflow.cli.main import cli
from neuroflow.cluster.base import ArrayRequest, JobRequest
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.job import SCHEMA
from neuroflow.cluster.records import attempt_files
from neuroflow.domain import FailureClass, RunRecord, RunStatus
from neuroflow.orchestrator.images import read_digests, see, sha256_of
from neuroflow.orchestrator.launch import Launcher, LaunchResult
from neuroflow.orchestrator.launch_array import ArrayLauncher
from neuroflow.orchestrator.record import Recorder
from neuroflow.orchestrator.services import Services
from neuroflow.views.status import read_status
from tests.chain.site import Site
from tests.cluster_layer.builders import exit_record
from tests.support.images import fake_sif
from tests.support.states import SUCCESS, add_session, open_run


class Accepting:
    """A cluster that takes every job, and executes none."""

    folders = LocalFolders()

    def submit(self, job: JobRequest) -> str:
        self.folders.make({job.folder: attempt_files(job)})
        return "4711"

    def submit_array(self, array: ArrayRequest) -> list[str]:
        self.folders.make({job.folder: attempt_files(job) for job in array.jobs})
        return [f"4711_{index}" for index in range(len(array.jobs))]


@contextmanager
def services_with(root: Path, image: Path, **settings: object) -> Iterator[Services]:
    """Give services whose conversions run in an image on a cluster that takes every job."""
    conversion = {"image": str(image), "runtime": "apptainer", "where": "cluster", **settings}
    site = Site(
        root, {"pipelines": {"bids_conversion": conversion}, "workflow": {"max_concurrent": {"bids_conversion": 9}}}
    )
    services = site.services()
    object.__setattr__(services, "clusters", {name: Accepting() for name in services.clusters})
    try:
        yield services
    finally:
        services.database.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The path of an image, in a folder with an awkward name."""
    path = tmp_path / "the lab's images: new" / "heudiconv-1.5.1.sif"
    fake_sif(path)
    return path


def waiting(services: Services, session: str = "a") -> RunRecord:
    return open_run(services.state, add_session(services.state, "01", session))


def launch(services: Services, session: str = "a") -> LaunchResult:
    return Launcher(services).launch(waiting(services, session).id)


def test_an_attempt_names_image_id_and_version(tmp_path: Path, image: Path) -> None:
    sif_id = fake_sif(image)
    with services_with(tmp_path / "site", image) as services:
        result = launch(services)
        (attempt,) = services.state.attempts_of(result.run_id)
        assert attempt.image_record_id is not None
        record = services.state.get_images([attempt.image_record_id])[attempt.image_record_id]
        assert (record.identity, record.digest, attempt.image_version) == (sif_id, "", "1.5.1")
        kept = json.loads((Path(attempt.folder) / "container.json").read_text())
        assert (kept["image_id"], kept["version"]) == (sif_id, "1.5.1")


def test_the_elements_of_an_array_name_it_too(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        runs = [waiting(services, label).id for label in "abc"]
        ArrayLauncher(services).launch(runs)
        ids = {services.state.attempts_of(run_id)[0].image_record_id for run_id in runs}
        assert len(ids) == 1
        assert list(services.state.attempts_by_image().values()) == [3]


def test_nothing_is_read_whole_at_a_launch(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        launch(services)
        record = see(services, services.registry.get("bids_conversion"))
        assert record is not None
        assert record.digest == ""


def test_the_daily_round_reads_each_image_once(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        launch(services)
        assert read_digests(services) == 1
        assert read_digests(services) == 0
        record = see(services, services.registry.get("bids_conversion"))
        assert record is not None
        assert record.digest == sha256_of(image)


def test_a_replaced_image_is_warned_of_once_and_runs(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        launch(services, "a")
        fake_sif(image, content=b"another")
        with capture_logs() as logs:
            assert launch(services, "b").launched
            assert launch(services, "c").launched
        assert [entry["pipeline"] for entry in logs if entry["event"] == "image.changed"] == ["bids_conversion"]
        assert [one.pipeline for one in read_status(services.config).changed_images] == ["bids_conversion"]


def test_an_image_that_is_still_being_copied_is_no_image_yet(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        fake_sif(image, content=b"x" * 1000, cut=500)
        assert see(services, services.registry.get("bids_conversion")) is None


def test_a_pinned_image_that_fits_runs(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image, image_digest=sha256_of(image)) as services:
        assert launch(services).launched


def test_a_pinned_image_is_compared_once_for_all_runs_of_an_array(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[int] = []
    with services_with(tmp_path / "site", image, image_digest=sha256_of(image)) as services:
        monkeypatch.setattr(services.state, "accept_image", accepted.append)
        results = ArrayLauncher(services).launch([waiting(services, label).id for label in "abc"])
    assert [result.launched for result in results] == [True] * 3
    assert len(accepted) == 1


def test_another_image_than_the_pinned_one_starts_no_run_and_holds_the_pipeline(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image, image_digest=sha256_of(image)) as services:
        launch(services, "a")
        fake_sif(image, content=b"another")
        refused = launch(services, "b")
        assert refused.status is RunStatus.FAILED
        run = services.state.get_run(refused.run_id)
        assert run.failure is FailureClass.SITE
        assert "pipelines.bids_conversion.image_digest" in run.error_message
        assert sha256_of(image) in run.error_message
        assert services.state.attempts_of(run.id) == []
        assert "bids_conversion" in services.holds()
        kept = launch(services, "c")
        assert (kept.launched, kept.status) == (False, RunStatus.PENDING)


def test_a_pinned_image_that_can_not_be_read_starts_no_run(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image, image_digest="sha256:" + "0" * 64) as services:
        image.unlink()
        assert services.state.get_run(launch(services).run_id).failure is FailureClass.SITE


def test_naming_a_changed_image_in_the_pin_accepts_it(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        launch(services)
        fake_sif(image, content=b"another")
        see(services, services.registry.get("bids_conversion"))
        read_digests(services)
        pinned = services.registry.get("bids_conversion").settings.model_copy(update={"image_digest": sha256_of(image)})
        pipeline = services.registry.get("bids_conversion")
        object.__setattr__(pipeline, "settings", pinned)
        assert launch(services, "b").launched
        record = see(services, pipeline)
        assert record is not None
        assert not record.changed


def test_a_run_waits_while_another_process_reads_its_pinned_image(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image, image_digest=sha256_of(image)) as services:
        record = see(services, services.registry.get("bids_conversion"))
        assert record is not None
        services.state.acquire_lease(f"image-digest:{record.id}", owner="another", seconds=60)
        result = launch(services)
        assert (result.launched, result.status) == (False, RunStatus.PENDING)
        assert "reading" in result.message


def test_a_node_that_saw_another_image_is_shown(tmp_path: Path, image: Path) -> None:
    with services_with(tmp_path / "site", image) as services:
        (attempt,) = services.state.attempts_of(launch(services).run_id)
        record = exit_record(token=attempt.token, job_id="4711", image_id="another-id")
        (Path(attempt.folder) / "exit.json").write_text(json.dumps({"schema": SCHEMA, **asdict(record)}))
        with capture_logs() as logs:
            list(Recorder(services).record([(attempt, SUCCESS)]))
        assert [(entry["seen"], entry["token"]) for entry in logs if entry["event"] == "image.other_on_node"] == [
            ("another-id", attempt.token)
        ]
        assert services.state.get_attempt(attempt.id).node_image == "another-id"
        config = services.config.files[0]
    shown = CliRunner().invoke(cli, ["--config", str(config), "runs", "show", "1"])
    assert "ANOTHER IMAGE, with the id another-id" in shown.output
