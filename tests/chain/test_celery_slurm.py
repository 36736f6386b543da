"""The whole chain with every part real: Redis, worker and beat, SLURM, Apptainer images."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import nibabel
import numpy as np
import pytest
from celery import Celery

from neuroflow.domain import AttemptStatus, RunStatus
from neuroflow.orchestrator.services import Services
from neuroflow.views.provenance import provenance_of
from tests.chain.site import SMALL, Site, celery, wait_until_done
from tests.chain.test_sync import check_against_truth
from tests.support.apptainer import Apptainer
from tests.support.demo_images import DemoImages
from tests.support.slurm import Slurm

pytestmark = pytest.mark.slow

MASTER = "neuroflow.workers.workflow_tasks.run_master_workflow"
CHAIN_SECONDS = 600.0


def real_data() -> Path:
    """Find the scanner's archive; a checkout without it skips."""
    checkout = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("NEUROFLOW_TEST_DATA") or checkout.parent / "shared" / "data")
    archive = folder / "philips_dwi.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no scanner data: set NEUROFLOW_TEST_DATA to the folder of {archive.name}")
    return archive


def real_site(root: Path, slurm: Slurm, apptainer: Apptainer, images: DemoImages, redis_url: str, **extra: Any) -> Site:
    """Return a site whose runs all go to SLURM, in containers."""
    recon = {"FS_LICENSE": "/not-read-by-the-demo-app"}
    pipelines: dict[str, Any] = {
        "bids_conversion": {**SMALL, "image": str(images.bids_conversion), "where": "cluster"},
        "qsiprep": {**SMALL, "image": str(images.qsiprep), "program": None},
        "qsirecon": {**SMALL, "image": str(images.qsirecon), "program": None, "environment": recon},
        "qsiparc": {**SMALL, "image": str(images.qsiparc)},
    }
    for name, settings in extra.pop("pipelines", {}).items():
        pipelines[name] |= settings
    changes = {
        "redis": {"url": redis_url},
        "containers": {"runtime": "apptainer", "runtime_args": list(apptainer.runtime_args)},
        "cluster": {
            "name": "test",
            "kind": "slurm",
            "account": slurm.account,
            "partition": slurm.partition,
            "poll_seconds": 2,
        },
        "pipelines": pipelines,
        **extra,
    }
    return Site(root, changes)


def carry_through(site: Site, services: Services, *, sessions: int, subjects: int) -> None:
    """Start a worker and beat, ask for one master workflow, and wait for the last table."""
    config = site.config()
    expected = {"bids_conversion": sessions, "qsiprep": subjects, "qsirecon": sessions, "qsiparc": sessions}
    with celery(site, "worker", "-c", "2") as worker, celery(site, "beat") as beat:
        with Celery(broker=config.redis_url()) as client:
            client.conf.broker_transport_options = {"priority_steps": list(range(10))}
            client.send_task(MASTER, queue="workflow", ignore_result=True)
        wait_until_done(services, expected=expected, seconds=CHAIN_SECONDS, processes=(worker, beat))


def test_real_scanner_data_through_worker_slurm_and_apptainer(
    tmp_path: Path, slurm: Slurm, apptainer: Apptainer, demo_images: DemoImages, redis_server: str
) -> None:
    required = [{"name": "dwi", "pattern": "dti", "min_files": 500, "max_files": 600}]
    site = real_site(
        tmp_path / "a site's folder",
        slurm,
        apptainer,
        demo_images,
        redis_server,
        protocol={"required_scans": required},
        pipelines={"qsirecon": {"atlases": ["DemoSlabs"], "datasets": {}}, "qsiprep": {"output_resolution": 2.0}},
    )
    target = site.root / "dicom" / "sub-01" / "ses-01"
    target.mkdir(parents=True)
    with tarfile.open(real_data()) as archive:
        archive.extractall(target, filter="data")
    services = site.services()
    carry_through(site, services, sessions=1, subjects=1)
    check_outputs(site)
    check_records(services)
    check_provenance(site, services)
    check_repetition(site, services)


def check_outputs(site: Site) -> None:
    dwi = site.root / "bids" / "sub-01" / "ses-01" / "dwi"
    (bval,) = dwi.glob("*_dwi.bval")
    bvals = np.loadtxt(bval)
    assert bvals.shape == (17,)
    assert int((bvals < 50).sum()) == 5
    (bvec,) = dwi.glob("*_dwi.bvec")
    norms = np.linalg.norm(np.loadtxt(bvec), axis=0)
    assert norms[bvals > 50] == pytest.approx(1.0, abs=1e-3)
    (fa_file,) = (site.root / "derivatives" / "qsirecon").rglob("*param-fa_dwimap.nii.gz")
    fa = np.asarray(nibabel.load(fa_file).dataobj)
    inside = fa[fa > 0]
    assert fa.min() >= 0
    assert fa.max() <= 1
    assert 0.3 < np.percentile(inside, 90) < 0.9, "white matter is anisotropic, and not all of the brain is"
    tables = list((site.root / "derivatives" / "qsiparc" / "sub-01" / "ses-01").rglob("*param-fa*_diffmap.tsv"))
    assert len(tables) == 1
    assert len(tables[0].read_text(encoding="utf-8").splitlines()) > 4


def check_provenance(site: Site, services: Services) -> None:
    derivatives = site.root / "derivatives"
    datasets = [site.root / "bids", *(derivatives / name for name in ("qsiprep", "qsirecon", "qsiparc"))]
    for dataset in datasets:
        description = json.loads((dataset / "dataset_description.json").read_text(encoding="utf-8"))
        (tool,) = (entry for entry in description["GeneratedBy"] if entry["Name"] != "neuroflow")
        assert tool["Container"]["Tag"].endswith(".sif"), dataset
        assert len(description["GeneratedBy"]) == 2
    documents = {}
    for run in services.state.list_runs():
        (attempt,) = services.state.attempts_of(run.id)
        container = json.loads((Path(attempt.folder) / "container.json").read_text(encoding="utf-8"))
        assert container["image"] == attempt.image
        assert container["arguments"]
        record = json.loads((Path(attempt.folder) / "exit.json").read_text(encoding="utf-8"))
        assert (record["token"], record["exit_code"]) == (attempt.token, 0)
        assert attempt.image_record_id is not None
        image = services.state.get_images([attempt.image_record_id])[attempt.image_record_id]
        assert image.identity
        assert attempt.node_image == record["image_id"] == container["image_id"] == image.identity
        assert record["provenance"] == ""
        documents[run.pipeline] = check_document(services, run.id, image=image.identity)
    (converted,) = documents["qsiprep"]["inputs"]
    assert {Path(one["path"]).suffix for one in converted["files"]} >= {".gz", ".json", ".bval", ".bvec"}
    for one in converted["files"]:
        data = (site.root / "bids" / one["path"]).read_bytes()
        assert (one["bytes"], one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert documents["bids_conversion"]["inputs"][0]["count"] > 500
    (upstream,) = documents["qsiparc"]["upstream"]
    assert json.loads(Path(upstream["provenance"]).read_text(encoding="utf-8"))["run"]["pipeline"] == "qsirecon"


def check_document(services: Services, run_id: int, *, image: str) -> dict[str, Any]:
    """Check what the job wrote, and what is shown of it, against the schema, and return it."""
    schema = json.loads((Path(__file__).resolve().parents[2] / "docs" / "provenance.schema.json").read_text())
    shown = provenance_of(services, run_id)
    written: dict[str, Any] = json.loads(Path(shown.found_in).read_text(encoding="utf-8"))
    for document in (written, shown.document):
        jsonschema.Draft202012Validator(schema).validate(document)
    assert written["container"]["image_id_on_node"] == image
    assert written["job"]["slurm"]["partition"]
    assert "apptainer" in written["software"]["runtime"]
    assert written["software"]["slurm"].startswith("slurm")
    assert written["usage"]["cpu_seconds"] > 0
    return written


def check_repetition(site: Site, services: Services) -> None:
    """Check that the lines for a shell give the same maps, in the same container."""
    (run,) = services.state.list_runs(pipeline="qsirecon")
    folder = site.root / "again"
    asked = ["logs", "run", str(run.id), "--command", "--into", str(folder)]
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(site.folder.config), *asked]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "NOT THERE" not in lines
    subprocess.run(["bash"], input=lines, text=True, capture_output=True, check=True, timeout=300)
    first, again = site.root / "derivatives" / "qsirecon", folder / "out"
    maps = [path.relative_to(again) for path in again.rglob("*.nii.gz")]
    assert maps
    for path in maps:
        assert (first / path).read_bytes() == (again / path).read_bytes(), path


def check_records(services: Services) -> None:
    for run in services.state.list_runs():
        assert run.status is RunStatus.COMPLETED
        (attempt,) = services.state.attempts_of(run.id)
        assert attempt.status is AttemptStatus.SUCCEEDED
        assert attempt.where == "slurm"
        assert attempt.job_id is not None
        assert attempt.image is not None
        moves = [row.after for row in services.state.list_audit(entity="run", entity_id=run.id) if row.after]
        assert moves[-1] == "completed"
        assert "submitted" in moves


def test_phantom_on_postgresql_reproduces_fa(
    tmp_path: Path,
    slurm: Slurm,
    apptainer: Apptainer,
    demo_images: DemoImages,
    redis_server: str,
    fresh_postgres: str,
) -> None:
    site = real_site(tmp_path / "site", slurm, apptainer, demo_images, redis_server, database={"url": fresh_postgres})
    site.add_session("01", "01", seed=6)
    services = site.services()
    carry_through(site, services, sessions=1, subjects=1)
    check_against_truth(site, {("sub-01", "ses-01")})
    services.database.close()
