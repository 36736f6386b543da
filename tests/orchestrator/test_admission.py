"""Ready runs wait, with the reason, for what the site does not take now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from neuroflow.config.execution import Cluster, PipelineSettings
from neuroflow.domain import QosLimits, Reservation, Resources, RunRecord, RunStatus, SiteLimits
from neuroflow.orchestrator.admission import Admission
from neuroflow.orchestrator.dispatch import Choice, choose_dispatch
from neuroflow.orchestrator.placement import Places
from neuroflow.orchestrator.registry import Pipeline, Registry, get_registry
from tests.orchestrator.builders import NOW, run, session, snapshot

SOON = Reservation("upgrade", NOW + timedelta(hours=10), NOW + timedelta(hours=20), is_maintenance=True, all_nodes=True)
RECON = "qsirecon"  # twelve hours
PARC = "qsiparc"  # two hours


def admission(site: SiteLimits, *, jobs_in_queue: int = 0) -> Admission:
    places = Places(Cluster(kind="slurm", account="lab", partition="main", qos="normal"), site)
    return Admission(places, {("lab", "normal"): jobs_in_queue}, NOW)


def ready(pipeline: str, *run_ids: int) -> list[RunRecord]:
    return [run(number, pipeline, session(number), f"k:{number}", RunStatus.PENDING) for number in run_ids]


def choose(runs: list[RunRecord], now: Admission | None, registry: Registry | None = None) -> Choice:
    registry = registry or Registry(replace(item, max_concurrent=100) for item in get_registry())
    return choose_dispatch(snapshot((), *runs), registry, holds={}, admission=now)


class TestSubmitLimit:
    LIMITED = SiteLimits(associations=(), qos={"normal": QosLimits(max_submit_per_user=20)})

    def test_only_as_many_go_out_as_the_queue_has_room_for(self) -> None:
        choice = choose(ready(RECON, 1, 2, 3), admission(self.LIMITED, jobs_in_queue=18))

        assert choice.run_ids == (1, 2)
        (wait,) = choice.waits
        assert wait.reason == (
            "the site takes no more jobs at present: MaxSubmitJobsPerUser of QOS normal is 20, "
            "and 18 jobs are in the queue"
        )

    def test_all_pipelines_share_the_room(self) -> None:
        choice = choose([*ready(RECON, 1, 2), *ready(PARC, 3, 4)], admission(self.LIMITED, jobs_in_queue=17))

        assert choice.run_ids == (1, 2, 3)

    def test_a_full_queue_fails_nothing(self) -> None:
        choice = choose(ready(RECON, 1, 2), admission(self.LIMITED, jobs_in_queue=99))

        assert (choice.run_ids, len(choice.waits)) == ((), 2)

    def test_where_nothing_is_known_nothing_is_held(self) -> None:
        assert choose(ready(RECON, 1, 2), admission(SiteLimits(), jobs_in_queue=10**6)).run_ids == (1, 2)
        assert choose(ready(RECON, 1, 2), None).run_ids == (1, 2)

    def test_a_pipeline_that_goes_elsewhere_needs_no_room(self) -> None:
        now = admission(self.LIMITED, jobs_in_queue=20)

        assert choose([*ready(RECON, 1), *ready("bids_conversion", 2)], now).run_ids == (2,)


class TestMaintenance:
    SITE = SiteLimits(reservations=(SOON,))

    def test_a_job_that_could_not_end_before_waits_and_a_shorter_one_goes(self) -> None:
        choice = choose([*ready(RECON, 1), *ready(PARC, 2)], admission(self.SITE))

        assert choice.run_ids == (2,)
        (wait,) = choice.waits
        assert wait.reason == (
            "maintenance 'upgrade' begins at 2026-03-01 22:00 UTC, and a job of 720 min could not end before; "
            "it is submitted after 2026-03-02 08:00"
        )

    def test_the_request_of_a_further_attempt_counts(self) -> None:
        (again,) = ready(PARC, 1)

        assert choose([replace(again, resources=Resources(2, 8000, 700))], admission(self.SITE)).run_ids == ()

    def test_a_pipeline_that_may_be_shorter_gets_the_time_that_is_left(self) -> None:
        pipeline = with_shortest(get_registry().get(RECON), 6 * 60)
        registry = Registry(pipeline if item.name == RECON else item for item in get_registry())

        assert choose(ready(RECON, 1), admission(self.SITE), registry).run_ids == (1,)
        assert admission(self.SITE).shortened(pipeline, pipeline.resources).time_minutes == 10 * 60 - 5

    def test_but_not_less_than_it_needs(self) -> None:
        pipeline = with_shortest(get_registry().get(RECON), 11 * 60)

        assert admission(self.SITE).shortened(pipeline, pipeline.resources) == pipeline.resources

    def test_other_reservations_hold_nothing(self) -> None:
        course = replace(SOON, is_maintenance=False)

        assert choose(ready(RECON, 1), admission(SiteLimits(reservations=(course,)))).run_ids == (1,)


def with_shortest(pipeline: Pipeline, minutes: int) -> Pipeline:
    return replace(pipeline, settings=PipelineSettings(shortest_minutes=minutes))
