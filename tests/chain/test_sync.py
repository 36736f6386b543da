"""The whole chain on this machine, with no broker: `workflow run --sync`."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.demo.phantom import Phantom
from neuroflow.domain import RunStatus
from tests.chain.site import FA_TOLERANCE, Site, completed

pytestmark = pytest.mark.slow


def check_against_truth(site: Site, sessions: set[tuple[str, str]]) -> None:
    truth = {region.name: region.fa for region in Phantom.default().truth().values()}
    measured = site.region_fa()
    assert set(measured) == sessions
    for regions in measured.values():
        assert set(regions) == set(truth)
        for name, fa in regions.items():
            assert fa == pytest.approx(truth[name], abs=FA_TOLERANCE), name


def test_phantom_fa_is_reproduced_and_a_new_session_reopens_its_subject_alone(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add_session("01", "01", seed=1)
    site.add_session("02", "01", seed=2)
    services = site.services()
    assert site.run_sync(services).error is None
    check_against_truth(site, {("sub-01", "ses-01"), ("sub-02", "ses-01")})
    assert completed(services.state.list_runs()) == dict.fromkeys(
        ("bids_conversion", "qsiprep", "qsirecon", "qsiparc"), 2
    )

    before = {run.id for run in services.state.list_runs()}
    site.run_sync(services)
    assert {run.id for run in services.state.list_runs()} == before, "an up-to-date cohort opens nothing"

    site.add_session("01", "02", seed=3)
    site.run_sync(services)
    new = [run for run in services.state.list_runs() if run.id not in before]
    assert sorted((run.pipeline, run.scope) for run in new) == [
        ("bids_conversion", "sub-01/ses-02"),
        ("qsiparc", "sub-01/ses-01"),
        ("qsiparc", "sub-01/ses-02"),
        ("qsiprep", "sub-01"),
        ("qsirecon", "sub-01/ses-01"),
        ("qsirecon", "sub-01/ses-02"),
    ]
    assert all(run.status is RunStatus.COMPLETED for run in new)
    check_against_truth(site, {("sub-01", "ses-01"), ("sub-01", "ses-02"), ("sub-02", "ses-01")})


def test_session_subject_folders(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", {"discovery": {"layout": "session/subject"}})
    site.add_session("01", "base", seed=4, order="session/subject")
    services = site.services()
    site.run_sync(services)
    check_against_truth(site, {("sub-01", "ses-base")})


def test_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str) -> None:
    site = Site(tmp_path / "site", {"database": {"url": fresh_postgres}})
    site.add_session("01", "01", seed=5)
    services = site.services()
    site.run_sync(services)
    check_against_truth(site, {("sub-01", "ses-01")})
    services.database.close()
