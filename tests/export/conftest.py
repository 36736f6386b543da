"""The study that the tables are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.export.cohort import Cohort


@pytest.fixture
def cohort(tmp_path: Path) -> Iterator[Cohort]:
    """Return an empty study."""
    made = Cohort(tmp_path)
    yield made
    made.services.database.close()
