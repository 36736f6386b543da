"""What `why` says of runs that are not at work yet, cause by cause."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from neuroflow.cluster import site_limits_json
from neuroflow.core.state import SeenAttempt
from neuroflow.domain import PartitionLimits, Reservation, RunStatus, SiteLimits
from neuroflow.orchestrator.services import SLURM_BUDGET
from neuroflow.orchestrator.site import QUEUE_KEY, SITE_KEY
from tests.views.cohort import NOW, Cohort


def settling(cohort: Cohort) -> None:
    cohort.session(settle_minutes=60)


def due(cohort: Cohort) -> None:
    cohort.session()


def next_to_start(cohort: Cohort) -> None:
    cohort.session()
    cohort.open_only()


def behind_others(cohort: Cohort) -> None:
    cohort.configure(max_concurrent=2)
    for subject in ("02", "03", "04", "01"):
        cohort.session(subject)
        cohort.open_due()
    for run in cohort.state.list_runs()[-2:]:  # the oldest two
        cohort.submit(run)


def none_allowed(cohort: Cohort) -> None:
    cohort.configure(max_concurrent=0)
    next_to_start(cohort)


def paused(cohort: Cohort) -> None:
    next_to_start(cohort)
    cohort.state.hold_pipeline("bids_conversion", reason="new image on Monday", actor="anna")


def stopped_by_the_site(cohort: Cohort) -> None:
    next_to_start(cohort)
    cohort.state.hold_pipeline("bids_conversion", reason="run 7: no such account")


def stopped_by_the_breaker(cohort: Cohort) -> None:
    next_to_start(cohort)
    reason = "5 of the last 10 runs failed alike (signature ca102f07b2, application), the last one with: boom"
    cohort.state.hold_pipeline("bids_conversion", reason=reason)


def paused_before_it_was_opened(cohort: Cohort) -> None:
    cohort.session()
    cohort.state.hold_pipeline("bids_conversion", reason="new image on Monday", actor="anna")


def retry_wait(cohort: Cohort) -> None:
    cohort.session()
    cohort.fail_once(cohort.open_only(), minutes=12)


def handed_over(cohort: Cohort) -> None:
    cohort.session()
    run = cohort.open_only()
    cohort.state.move_run(run.id, expected={RunStatus.PENDING}, to=RunStatus.QUEUED, reason="sent")


def being_submitted(cohort: Cohort) -> None:
    cohort.session()
    cohort.claim(cohort.open_only())


def before_maintenance(cohort: Cohort) -> None:
    next_to_start(cohort)
    soon = Reservation("spring", NOW + timedelta(minutes=30), NOW + timedelta(hours=9), True, True)
    limits = SiteLimits(partitions={"main": PartitionLimits(is_default=True)}, reservations=(soon,))
    cohort.state.set_value(SITE_KEY, site_limits_json.to_json(limits))


def full_queue(cohort: Cohort) -> None:
    next_to_start(cohort)
    cohort.state.set_value(SITE_KEY, site_limits_json.to_json(SiteLimits(max_job_count=5)))
    cohort.state.set_value(QUEUE_KEY, {"jobs": [["lab", "normal", 5]], "newest_attempt": 0})


CASES: dict[Callable[[Cohort], None], tuple[str, list[str], str, str]] = {
    # how it came: state, causes, a part of the summary, a part of what comes next
    settling: ("waiting", ["settling"], "until 2026-03-01 13:00 UTC", "the scan at 2026-03-01 13:00 UTC"),
    due: ("due", [], "about to be opened (it is the first)", "when it looks next, within 1 min"),
    next_to_start: ("pending", [], "it is the next to start", "within 1 min"),
    behind_others: ("pending", ["limit"], "2 of 2 in flight (workflow.max_concurrent.bids_conversion), 1 b", "oldest"),
    none_allowed: ("pending", ["limit"], "workflow.max_concurrent.bids_conversion is 0", "is raised in the config"),
    paused: ("pending", ["paused"], "anna paused bids_conversion: new image on Monday", "until a person lets"),
    stopped_by_the_site: ("pending", ["held"], "neuroflow stopped bids_conversion: run 7", "until a person lets"),
    stopped_by_the_breaker: ("pending", ["breaker"], "because its runs fail alike", "until a person lets"),
    paused_before_it_was_opened: ("due", ["paused"], "about to be opened", "until a person lets"),
    retry_wait: ("retrying", ["retry"], "due at 2026-03-01 12:12 UTC, in 12 min, with 2 cores, 6000 MiB", "12:12 UTC"),
    handed_over: ("pending", ["worker"], "handed to them again at 2026-03-01 12:10 UTC", "at 2026-03-01 12:10 UTC"),
    being_submitted: ("queued", ["submitting"], "being handed to SLURM since 2026-03-01 12:00", "looks for it"),
    before_maintenance: ("pending", ["maintenance"], "maintenance 'spring' begins", "at 2026-03-01 21:00 UTC"),
    full_queue: ("pending", ["site_limit"], "MaxJobCount of the cluster is 5", "when the site takes it"),
}  # fmt: skip


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__)
def test_each_cause_is_told_with_what_comes_next(cohort: Cohort, made: Callable[[Cohort], None]) -> None:
    made(cohort)
    state, causes, summary, following = CASES[made]
    answer = cohort.place()
    assert (answer.state, [cause.kind for cause in answer.causes]) == (state, causes)
    assert summary in answer.summary
    assert following in answer.next.text


@pytest.mark.parametrize("made", [paused, stopped_by_the_breaker, paused_before_it_was_opened])
def test_a_hold_names_the_command_that_ends_it(cohort: Cohort, made: Callable[[Cohort], None]) -> None:
    made(cohort)
    following = cohort.place().next
    assert following.needs_person
    assert following.commands[-1] == "neuroflow pipeline resume bids_conversion"
    assert ("neuroflow recovery show ca102f07b2" in following.commands) == (made is stopped_by_the_breaker)


class TestJobsInTheQueue:
    def test_slurms_word_of_now_with_the_expected_start(self, cohort: Cohort) -> None:
        cohort.session()
        attempt = cohort.submit(cohort.open_only())
        cohort.listed(attempt, "Priority", start="2026-03-01T18:30:00+0000")
        answer = cohort.place()
        assert answer.state == "queued"
        assert answer.causes[0].slurm_reason == "Priority"
        assert "jobs with a higher priority go before it (Priority)" in answer.summary
        assert answer.next.at == answer.causes[0].until == NOW.replace(hour=18, minute=30)

    def test_without_asking_what_the_last_poll_saw(self, cohort: Cohort) -> None:
        cohort.session()
        attempt = cohort.submit(cohort.open_only())
        reason = "SLURM: PENDING (QOSMaxJobsPerUserLimit)"
        seen = SeenAttempt(attempt.id, word="PENDING", reason=reason, running=False, seen=True)
        cohort.state.record_sightings([seen])
        answer = cohort.place(ask_slurm=False)
        assert cohort.slurm.asked == 0
        assert answer.causes[0].slurm_reason == "QOSMaxJobsPerUserLimit"
        assert "the QOS uses as much as it may for one user (jobs)" in answer.summary

    def test_one_that_never_starts_needs_a_person(self, cohort: Cohort) -> None:
        cohort.session()
        attempt = cohort.submit(cohort.open_only())
        cohort.listed(attempt, "JobHeldAdmin")
        following = cohort.place().next
        assert following.needs_person
        assert following.commands == (f"scontrol show job {attempt.job_id}", "neuroflow runs cancel 1")

    @pytest.mark.parametrize(("word", "said"), [("RUNNING", "RUNNING just now"), ("FAILED", "has ended (FAILED)")])
    def test_what_the_next_poll_will_see_is_told_before(self, cohort: Cohort, word: str, said: str) -> None:
        cohort.session()
        cohort.listed(cohort.submit(cohort.open_only()), "", word=word)
        assert said in cohort.place().summary

    def test_a_silent_slurm_is_named(self, cohort: Cohort) -> None:
        cohort.session()
        cohort.submit(cohort.open_only())
        cohort.slurm.is_silent = True
        assert "SLURM was asked, and did not answer" in cohort.ask().notes[0]

    def test_nothing_is_asked_beyond_the_budget_nor_without_a_waiting_job(self, cohort: Cohort) -> None:
        cohort.session()
        run = cohort.open_only()
        cohort.ask()
        assert cohort.slurm.asked == 0
        cohort.submit(run)
        while cohort.state.take_call(SLURM_BUDGET, per_minute=cohort.services.config.cluster.calls_per_minute) == 0:
            pass
        assert "budget" in cohort.ask().notes[0]
        assert cohort.slurm.asked == 0

    def test_a_job_that_no_witness_knows(self, cohort: Cohort) -> None:
        cohort.session()
        attempt = cohort.start(cohort.open_only())
        cohort.now += timedelta(minutes=30)
        seen = SeenAttempt(attempt.id, word="", reason="squeue and sacct do not list it", running=False, seen=False)
        cohort.state.record_sightings([seen])
        cohort.polled()
        answer = cohort.place()
        assert [cause.kind for cause in answer.causes] == ["unknown"]
        assert "nobody knows its job since 2026-03-01 12:00 UTC: squeue and sacct do not list it" in answer.summary


class TestWhoeverLooks:
    def test_without_a_poll_nothing_will_happen(self, cohort: Cohort) -> None:
        next_to_start(cohort)
        cohort.now += timedelta(hours=2)
        answer = cohort.ask(up=False)
        assert "looked at the jobs last 2 h ago, at 2026-03-01 12:00 UTC" in answer.life.notes[0]
        assert answer.pipelines[0].next.commands == ("neuroflow up",)
        assert not answer.life.works

    def test_a_short_silence_is_doubted_unless_up_runs(self, cohort: Cohort) -> None:
        next_to_start(cohort)
        cohort.now += timedelta(minutes=7)
        answer = cohort.ask(up=False)
        assert "the last look at the jobs was 7 min ago: unless `neuroflow up`" in answer.life.notes[0]
        assert (answer.life.works, answer.life.steady) == (True, False)
        assert not cohort.ask(up=True).life.notes

    @pytest.mark.parametrize("made", [settling, due, next_to_start, retry_wait, being_submitted])
    def test_what_is_not_seen_to_run_promises_no_times(self, cohort: Cohort, made: Callable[[Cohort], None]) -> None:
        made(cohort)
        life = cohort.ask(up=False).life
        assert (life.next_poll, life.next_scan, life.next_pass) == (None, None, None)
        following = cohort.place(up=False).next
        assert "when it runs next (`neuroflow up`, or `neuroflow tick`)" in following.text
        assert following.commands[0] == "neuroflow up"

    def test_a_retry_that_waits_can_be_started_now(self, cohort: Cohort) -> None:
        retry_wait(cohort)
        assert cohort.place().next.commands == ("neuroflow runs retry 1",)

    def test_one_that_runs_and_does_not_look(self, cohort: Cohort) -> None:
        next_to_start(cohort)
        cohort.now += timedelta(hours=2)
        assert "`neuroflow up --status` tells what is wrong" in cohort.ask(up=True).life.notes[0]

    def test_the_next_pass_follows_the_schedule(self, cohort: Cohort) -> None:
        due(cohort)
        assert cohort.ask().life.next_pass == NOW.replace(day=4, hour=2)
