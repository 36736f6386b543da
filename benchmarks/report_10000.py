"""Measure the report of a site with 10,000 sessions: how long it takes to make, how large it is, how fast it opens.

The database is the made-up one of `years.py`; each session has twelve key figures, made up too. The page opens in a
headless Chromium, three times, and says itself when it was drawn; without Chromium and selenium that part is left out.

Run, in the checkout: python -m benchmarks.report_10000 [SESSIONS]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.years import make_site
from neuroflow.config import NeuroflowConfig
from neuroflow.orchestrator.services import Services
from neuroflow.report.cohort import Cohort
from neuroflow.report.collector import paused_collector
from neuroflow.report.document import document
from neuroflow.report.figures import FigureKind, Figures
from neuroflow.report.gather import Wish, gather
from neuroflow.report.payload import payload
from tests.support.chromium import find_chromium, running_chromium

TIMES = 3
T = TypeVar("T")


def timed(what: str, work: Callable[[], T]) -> T:
    """Do something, and say how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:32s} {time.perf_counter() - wall:7.2f} s, CPU {time.process_time() - cpu:6.2f} s")
    return result


def made_up_figures(cohort: Cohort) -> Figures:
    """Return twelve figures of every session, as if they had been read."""
    dice = random.Random(1)  # noqa: S311  # invented numbers, no secrets
    kinds = [FigureKind("qsiparc", f"figure_{number}", "", f"Figure {number}") for number in range(12)]
    sessions = range(len(cohort.sessions))
    return Figures(values={kind: {index: dice.gauss(0.5, 0.05) for index in sessions} for kind in kinds})


def opened(page: Path, folder: Path) -> list[int]:
    """Return after how many milliseconds a page was drawn, each time in a browser that has not seen it."""
    programs = find_chromium()
    if programs is None:
        return []
    found = []
    for number in range(TIMES):
        with running_chromium(programs, folder / f"profile-{number}") as driver:
            driver.get(page.as_uri())
            while not (ready := driver.execute_script("return document.documentElement.dataset.ready")):
                time.sleep(0.05)
            found.append(int(ready))
    return found


def main() -> None:
    """Make a site and its report, and measure."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed("making up the database", lambda: make_site(folder / "site", sessions=sessions))
        services = Services.from_config(NeuroflowConfig.find_and_load(folder / "site" / "neuroflow.yaml"))
        wish = Wish("Two years", "benchmark")
        with paused_collector():
            report = timed("gathering", lambda: gather(services, wish, read_figures=made_up_figures))
            data = timed("arranging", lambda: payload(report, folder=folder))
            text = timed("the page", lambda: document(report, data))
        page = folder / "report.html"
        page.write_text(text, encoding="utf-8")
        megabytes = page.stat().st_size / 1e6
        print(f"{len(report.cohort.sessions)} sessions, {len(report.history.runs)} runs: {megabytes:.1f} MB")
        times = opened(page, folder)
        print(f"drawn in Chromium after {times} ms" if times else "no Chromium here: not opened")
        services.database.close()


if __name__ == "__main__":
    main()
