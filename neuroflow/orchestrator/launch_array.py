"""Submit many ready runs of one pipeline in one call: as the elements of a job array."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from neuroflow.cluster.base import ArrayRequest, JobRequest
from neuroflow.core.state import NewAttempt
from neuroflow.domain import AttemptRecord, RetryDecision, RunRecord, RunStatus
from neuroflow.errors import ClusterError, SubmissionRefused, SubmissionUncertain
from neuroflow.orchestrator.images import see
from neuroflow.orchestrator.launch import Launcher, LaunchResult, submitted, uncertain, with_image
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services


@dataclass(frozen=True)
class ArrayLauncher:
    """Start runs of one pipeline together; as safe to call twice, late, or by two workers as `Launcher` is."""

    services: Services

    @cached_property
    def _launcher(self) -> Launcher:
        return Launcher(self.services)

    def launch(self, run_ids: Sequence[int]) -> list[LaunchResult]:
        """Take runs from pending to submitted, in one array for each request; what can't be taken is said."""
        results: list[LaunchResult] = []
        groups: dict[object, list[tuple[RunRecord, JobRequest]]] = defaultdict(list)
        for run in map(self.services.state.get_run, run_ids):
            job = self._launcher.ready(run)
            if isinstance(job, LaunchResult):
                results.append(job)
            else:
                groups[run.pipeline, job.resources, job.exclude_nodes, run.priority].append((run, job))
        for group in groups.values():
            if len(group) == 1:
                results.append(self._launcher.start(*group[0]))
            else:
                results += self._launch_group(group)
        return results

    def _launch_group(self, group: list[tuple[RunRecord, JobRequest]]) -> list[LaunchResult]:
        pipeline = self.services.registry.get(group[0][0].pipeline)
        where = self.services.where(pipeline)
        token = f"nf-array-{pipeline.name}-{secrets.token_hex(6)}"
        image = see(self.services, pipeline)
        jobs = {run.id: with_image(job, image) for run, job in group}
        news = [
            NewAttempt(
                run_id,
                job.token,
                where,
                job.folder,
                job.resources,
                job.run.image,
                array_token=token,
                image_record_id=image.id if image is not None else None,
                image_version=job.run.version or "",
            )
            for run_id, job in jobs.items()
        ]
        attempts = self.services.state.claim_runs(news, limit=pipeline.max_concurrent)
        taken = {attempt.run_id for attempt in attempts}
        results = [self._launcher.not_claimed(run_id) for run_id in jobs if run_id not in taken]
        if attempts:
            runs = {run.id: run for run, _ in group}
            results += self._submit(pipeline, attempts, runs=runs, jobs=jobs)
        return results

    def _submit(
        self,
        pipeline: Pipeline,
        attempts: list[AttemptRecord],
        *,
        runs: dict[int, RunRecord],
        jobs: dict[int, JobRequest],
    ) -> list[LaunchResult]:
        config = self.services.config
        token = attempts[0].array_token or ""
        noted = self._launcher.with_journal
        array = ArrayRequest(
            token=token,
            folder=Place.of(config, where=self.services.where(pipeline)).array_folder(token),
            jobs=tuple(noted(jobs[attempt.run_id], runs[attempt.run_id], attempt) for attempt in attempts),
            at_once=config.cluster.array_at_once,
        )
        try:
            job_ids = self.services.cluster(self.services.where(pipeline)).submit_array(array)
        except SubmissionUncertain as error:
            return [uncertain(attempt, error) for attempt in attempts]
        except (OSError, ClusterError) as error:
            if isinstance(error, SubmissionRefused) and not error.transient:
                return [self._alone(attempt, error) for attempt in attempts]
            refusal = SubmissionRefused(str(error), transient=True)
            return [self._launcher.refused(runs[attempt.run_id], attempt, refusal) for attempt in attempts]
        # The last line that a crash can fall before: until here, squeue and sacct are asked for the array's name.
        ids = {attempt.id: job_id for attempt, job_id in zip(attempts, job_ids, strict=True)}
        self.services.state.record_all_submitted(ids)
        return [submitted(attempt, ids[attempt.id]) for attempt in attempts]

    def _alone(self, attempt: AttemptRecord, error: SubmissionRefused) -> LaunchResult:
        """Have an element submitted by itself: the first refusal of a single job tells whose fault it is."""
        decision = RetryDecision(
            RunStatus.RETRY_WAIT,
            f"the site refused the array, each of its runs by itself next: {error}",
            counted=False,
            next_attempt_at=self.services.clock(),
            resources=attempt.resources,  # a run with a request of its own goes into no array
        )
        self.services.state.record_submission_failed(attempt.id, reason=str(error), decision=decision, failure=None)
        return LaunchResult(attempt.run_id, decision.status, False, decision.reason)
