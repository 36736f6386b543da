"""Two looks at the database at once never open or start a run twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from neuroflow.domain import FoundSession, RunRecord, Series
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import advance
from tests.chain.site import Site

SESSIONS = 6


class Claims:
    """A dispatcher that claims as a worker would, and remembers who got which run."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.won: Counter[int] = Counter()

    def send(self, runs: Sequence[RunRecord], pipeline: Pipeline) -> None:
        (run,) = runs
        token = f"t-{run.id}-{threading.get_ident()}-{self.won.total()}"
        attempt = self.services.state.claim_run(
            run.id, token=token, where="local", folder=f"/{token}", resources=pipeline.resources, image=None, limit=99
        )
        if attempt is not None:
            self.won[run.id] += 1


def race(site: Site) -> None:
    services = site.services()
    series = Series("1.2", 1, "dwi", "dwi", "MR", 20, 20, True)
    found = [FoundSession("01", f"{n:02}", f"/d/{n}", f"f{n}", 20, 20, 0.0, (series,)) for n in range(SESSIONS)]
    services.state.record_scan(found, settle_minutes=0)
    workers = [Claims(site.services()) for _ in range(4)]
    barrier = threading.Barrier(len(workers))
    errors: list[BaseException] = []

    def work(claims: Claims) -> None:
        try:
            barrier.wait()
            advance(claims.services, claims)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(claims,)) for claims in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    won = sum((claims.won for claims in workers), Counter[int]())
    runs = services.state.list_runs()
    assert len(runs) == SESSIONS
    assert won == Counter({run.id: 1 for run in runs})
    for one in (services, *(claims.services for claims in workers)):
        one.database.close()


LIMITS = {"workflow": {"max_concurrent": {"bids_conversion": SESSIONS}}}


def test_on_sqlite(tmp_path: Path) -> None:
    race(Site(tmp_path / "site", LIMITS))


def test_on_postgresql(tmp_path: Path, fresh_postgres: str) -> None:
    race(Site(tmp_path / "site", {**LIMITS, "database": {"url": fresh_postgres}}))
