"""Hold a pipeline whose runs fail alike, before hundreds of others do the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from neuroflow.config.recovery import Breaker
from neuroflow.domain import AttemptRecord, AttemptStatus, FailureClass
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

# A run may have ended many attempts; of so many for each run that counts, none is missed in practice.
ATTEMPTS_PER_RUN = 10
_LONGEST_EXAMPLE = 300


@dataclass(frozen=True)
class Trip:
    """Why a pipeline is to be held."""

    signature: str
    failure: FailureClass | None
    failed: int  # runs
    looked_at: int  # runs
    example: str

    def in_words(self, pipeline: str) -> str:
        """Return the reason of the hold, and what to do."""
        return (
            f"{self.failed} of the last {self.looked_at} runs failed alike (signature {self.signature}, "
            f"{self.failure}), the last one with: {self.example}; see `neuroflow recovery show {self.signature}`, and "
            f"once it is mended `neuroflow pipeline resume {pipeline}`"
        )


def tripped(outcomes: Sequence[AttemptRecord], policy: Breaker) -> Trip | None:
    """Return why a pipeline is to be held, or None.

    Each run counts once, by the last attempt that it ended: one run that fails all of its attempts proves nothing of
    the others, and one that succeeded in the end has not failed.

    Args:
        outcomes: the attempts that succeeded or failed, the last to end first.
    """
    if not policy.enabled:
        return None
    newest: dict[int, AttemptRecord] = {}
    for attempt in outcomes:
        newest.setdefault(attempt.run_id, attempt)
    last = list(newest.values())[: policy.window]
    alike: dict[str, list[AttemptRecord]] = defaultdict(list)
    for attempt in last:
        if attempt.status is AttemptStatus.FAILED and attempt.signature:
            alike[attempt.signature].append(attempt)
    most = max(alike.values(), key=len, default=[])
    if len(most) < policy.failures:
        return None
    example = " ".join(most[0].message.split())[:_LONGEST_EXAMPLE]
    return Trip(most[0].signature, most[0].failure, len(most), len(last), example)


def check_pipelines(services: Services, names: Iterable[str]) -> tuple[str, ...]:
    """Hold those of the pipelines whose runs fail alike, each once; return their names."""
    policy = services.config.workflow.breaker
    return tuple(name for name in sorted(set(names)) if policy.enabled and _check(services, name, policy))


def _check(services: Services, pipeline: str, policy: Breaker) -> bool:
    seen = services.state.pipeline_hold(pipeline)
    if seen is not None and seen.held:
        return False
    # What failed before a person let the pipeline go on was known to that person.
    outcomes = services.state.latest_outcomes(
        pipeline, since=seen.since if seen is not None else None, limit=policy.window * ATTEMPTS_PER_RUN
    )
    trip = tripped(outcomes, policy)
    if trip is None:
        return False
    reason = trip.in_words(pipeline)
    held = services.state.hold_pipeline_as_seen(pipeline, seen=seen, reason=reason)
    if held:
        log.error("pipeline.held", pipeline=pipeline, signature=trip.signature, failed=trip.failed, reason=reason)
    return held
