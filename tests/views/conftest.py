"""A small installation for the answers; made once, and emptied after each test: new engines compile all SQL anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from neuroflow.config import NeuroflowConfig
from neuroflow.models import Base
from neuroflow.orchestrator.services import Services
from tests.views.cohort import Cohort

CONFIG = """\
paths:
  dicom_root: dicom
  bids_root: bids
  derivatives_root: derivatives
  work_root: work
  state_dir: state
discovery:
  settle_minutes: 60
protocol:
  required_scans: []
cluster:
  kind: slurm
  poll_seconds: 60
  calls_per_minute: 6
pipelines:
  bids_conversion:
    where: cluster
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """An installation with an empty database."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "dicom").mkdir()
    (folder / "neuroflow.yaml").write_text(CONFIG)
    services = Services.from_config(NeuroflowConfig.find_and_load(folder / "neuroflow.yaml"), check_schema=False)
    services.database.upgrade()
    yield services
    services.database.close()


@pytest.fixture
def cohort(installed: Services, tmp_path: Path) -> Iterator[Cohort]:
    """An installation on SLURM without a session, polled just now."""
    yield Cohort(installed, tmp_path)
    with installed.database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
        session.execute(text("DELETE FROM sqlite_sequence"))
