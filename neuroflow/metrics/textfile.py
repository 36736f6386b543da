"""Write the metrics file of an installation when it is due; whoever looks at the jobs does so."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from neuroflow.errors import NeuroflowError
from neuroflow.metrics.exposition import exposition, is_due, write_textfile
from neuroflow.metrics.facts import BrokerState, gather
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)


def write_metrics(services: Services, *, broker: Callable[[], BrokerState | None]) -> bool:
    """Write `metrics.textfile` where one is wanted and as old as `metrics.seconds`; tell whether it was written.

    It never raises for a file that can't be written: the jobs matter more.
    """
    settings = services.config.metrics
    path = settings.textfile
    if path is None or not is_due(path, seconds=settings.seconds, now=time.time()):
        return False
    try:
        write_textfile(path, exposition(lambda: gather(services, broker=broker())))
    except NeuroflowError as error:
        log.warning("metrics.not_written", error=str(error))
        return False
    return True
