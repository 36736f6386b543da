"""Rounds of telling people: grouped, rare, each message once, over a real webhook."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from neuroflow.core.state import StateManager
from neuroflow.domain import DeliveryStatus, FailureClass, Message, WorkflowStatus
from neuroflow.errors import NotificationError
from neuroflow.notify.targets import Target
from neuroflow.orchestrator.keys import POLL_KEY
from neuroflow.orchestrator.notifications import notify_round
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.core.conftest import FakeClock
from tests.support.receivers import Webhook, webhook
from tests.support.states import FAILURE, GIVE_UP, add_session, open_run, submit

HOSTILE = "<!channel> \x1b[31m*boom*\n@here in sub-0042 at /data/lab/sub-0042 " + "x" * 5_000


class Phone:
    """Somebody who is told; out of reach while the test says so."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reachable = True
        self.rings = 0

    def __call__(self, target: Target, message: Message) -> None:
        self.rings += 1
        if not self.reachable:
            raise NotificationError(f"{target.name}: no answer")
        self.messages.append(message)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def phone() -> Phone:
    return Phone()


def site(folder: Path, **notifications: object) -> Site:
    policy = {"urls": ["json://127.0.0.1:1/x"], **notifications}
    return Site(folder / "site", {"workflow": {"notifications": policy}})


def connect(made: Site, clock: FakeClock) -> Services:
    services = replace(made.services(), clock=clock)
    services.state._clock = clock
    return services


@pytest.fixture
def services(tmp_path: Path, clock: FakeClock, request: pytest.FixtureRequest) -> Iterator[Services]:
    """A site that tells one target, with the policy of the test's parameter."""
    made = connect(site(tmp_path, **getattr(request, "param", {})), clock)
    yield made
    made.database.close()


def fail(
    state: StateManager,
    subject: str,
    *,
    signature: str = "abc",
    pipeline: str = "qsiprep",
    error: str = "exit code 1: boom",
    failure: FailureClass = FailureClass.APPLICATION,
) -> int:
    run = open_run(state, add_session(state, subject), pipeline)
    attempt = submit(state, run.id)
    verdict = replace(FAILURE, failure=failure, reason=error)
    assert state.record_verdict(attempt.id, verdict, GIVE_UP, None, signature=signature)
    return run.id


def test_runs_that_failed_alike_are_one_message(services: Services, phone: Phone, clock: FakeClock) -> None:
    ids = [fail(services.state, f"{number:04}") for number in range(8)]
    notify_round(services, deliver_with=phone)
    assert phone.messages == []  # it gathers
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    (message,) = phone.messages
    assert message.subject == "[neuroflow demo] qsiprep: 8 runs failed alike"
    assert message.body.splitlines() == [
        "qsiprep: 8 runs failed alike",
        "  why: application, signature abc: exit code ‹n›: boom",
        f"  which: for example runs {', '.join(map(str, ids[:3]))}; first 2026-03-01 12:00, last 2026-03-01 12:00 UTC",
        "  next: nothing more is tried for them, and what needs them waits; others go on",
        "  look: neuroflow recovery show abc",
    ]


def test_more_of_the_same_is_a_digest_later_and_something_new_comes_at_once(
    services: Services, phone: Phone, clock: FakeClock
) -> None:
    fail(services.state, "01")
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    for number in range(10, 20):
        fail(services.state, str(number))
        clock.advance(minutes=5)
        notify_round(services, deliver_with=phone)
    assert [m.subject for m in phone.messages] == ["[neuroflow demo] qsiprep: 1 run failed"]
    fail(services.state, "30", signature="other")
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    assert len(phone.messages) == 2
    clock.advance(minutes=60)
    notify_round(services, deliver_with=phone)
    assert phone.messages[2].subject == "[neuroflow demo] qsiprep: 10 runs failed alike"
    clock.advance(hours=20)
    notify_round(services, deliver_with=phone)
    assert len(phone.messages) == 3


@pytest.mark.slow
def test_a_night_of_failures_is_a_handful_of_messages(services: Services, phone: Phone, clock: FakeClock) -> None:
    for number in range(60):
        fail(services.state, f"{number:04}")
        clock.advance(minutes=8)
        notify_round(services, deliver_with=phone)
    clock.advance(days=1)
    notify_round(services, deliver_with=phone)
    counts = [int(m.subject.split(": ")[1].split()[0]) for m in phone.messages if "failed" in m.subject]
    assert sum(counts) == 60
    assert len(counts) <= 5


@pytest.mark.parametrize("services", [{"max_per_hour": 2}], indirect=True)
def test_what_is_over_the_limit_goes_into_the_next_message(services: Services, phone: Phone, clock: FakeClock) -> None:
    for number in range(6):
        fail(services.state, f"{number:02}", signature=f"s{number}")
        clock.advance(minutes=2)
        notify_round(services, deliver_with=phone)
    assert len(phone.messages) == 2
    clock.advance(hours=1)
    notify_round(services, deliver_with=phone)
    assert len(phone.messages) == 3
    assert phone.messages[2].subject.startswith("[neuroflow demo] 4 things: qsiprep: 1 run failed; ")


def test_hostile_text_is_made_harmless_and_names_nobody(services: Services, phone: Phone, clock: FakeClock) -> None:
    fail(services.state, "0042", error=HOSTILE)
    services.state.hold_pipeline("qsiprep", reason=HOSTILE)
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    (message,) = phone.messages
    text = message.subject + message.body
    for part in ("<", "@", "0042", "\x1b", "/data", "*"):
        assert part not in text
    assert max(map(len, message.body.splitlines())) <= 302


def test_a_run_that_somebody_has_dealt_with_is_not_told(services: Services, phone: Phone, clock: FakeClock) -> None:
    again, closed = fail(services.state, "01"), fail(services.state, "02")
    services.state.supersede_run(again, reason="", actor="alice")
    services.state.resolve_run(closed, resolution="no scan", actor="alice")
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    assert phone.messages == []
    assert services.state.pending_notices() == []


@pytest.mark.parametrize(
    "services", [{"on_stage_failure": False, "on_breaker": False, "on_workflow_complete": True}], indirect=True
)
def test_only_what_is_wanted_is_told_and_a_workflow_has_a_summary(
    services: Services, phone: Phone, clock: FakeClock
) -> None:
    fail(services.state, "01")
    services.state.hold_pipeline("qsirecon", reason="alike")
    workflow = services.state.start_workflow_run()
    services.state.finish_workflow_run(
        workflow.id, status=WorkflowStatus.COMPLETED, stages_completed=(), tasks_queued=3
    )
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    (message,) = phone.messages
    assert message.subject == f"[neuroflow demo] workflow run {workflow.id} is complete"
    assert not message.urgent
    for line in ("what: 3 tasks queued", "qsiprep: 0 done, 1 failed, 0 others", "qsirecon: 0 done, 0 failed, 0 others"):
        assert f"  {line}" in message.body
    assert "qsirecon: 0 done, 0 failed, 0 others, held" in message.body


def test_a_pipeline_that_is_held_is_told_with_the_way_out(services: Services, phone: Phone, clock: FakeClock) -> None:
    services.state.hold_pipeline("qsiprep", reason="the site refused run 7: Invalid account")
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    (message,) = phone.messages
    assert message.subject == "[neuroflow demo] qsiprep is held"
    assert "Invalid account" in message.body
    assert "neuroflow pipeline resume qsiprep" in message.body


def test_a_silent_poller_is_told_once_and_so_is_its_return(services: Services, phone: Phone, clock: FakeClock) -> None:
    services.state.set_value(POLL_KEY, {})
    for _ in range(12):
        clock.advance(minutes=8)
        notify_round(services, deliver_with=phone)
    services.state.set_value(POLL_KEY, {})
    notify_round(services, deliver_with=phone)
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    assert [message.subject.removeprefix("[neuroflow demo] ")[:40] for message in phone.messages] == [
        "nothing has looked at the jobs since 2026-03-01 12:00"[:40],
        "the jobs are looked at again",
    ]


def test_a_service_that_was_stopped_over_the_weekend_is_not_called_silent(
    services: Services, phone: Phone, clock: FakeClock
) -> None:
    services.state.set_value(POLL_KEY, {})
    notify_round(services, deliver_with=phone)
    clock.advance(days=2)
    notify_round(services, deliver_with=phone)
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    assert phone.messages == []


def test_failures_that_wait_for_a_person_are_called_to_mind_once(
    services: Services, phone: Phone, clock: FakeClock
) -> None:
    fail(services.state, "01")
    clock.advance(minutes=2)
    notify_round(services, deliver_with=phone)
    for _ in range(4 * 6):
        clock.advance(hours=4)
        notify_round(services, deliver_with=phone)
    assert [message.subject for message in phone.messages[1:]] == ["[neuroflow demo] 1 failed run waits for a person"]


def test_a_target_that_is_down_gets_each_message_once_when_it_is_back(
    services: Services, phone: Phone, clock: FakeClock
) -> None:
    phone.reachable = False
    fail(services.state, "01")
    for _ in range(15):
        clock.advance(minutes=8)
        notify_round(services, deliver_with=phone)
    assert 4 <= phone.rings <= 8  # ever more rarely
    assert services.state.undelivered(since=clock() - timedelta(days=1)) == 1
    phone.reachable = True
    for _ in range(15):
        clock.advance(minutes=8)
        notify_round(services, deliver_with=phone)
    assert len(phone.messages) == 1


def test_a_target_that_stays_down_is_given_up_and_shown(services: Services, phone: Phone, clock: FakeClock) -> None:
    phone.reachable = False
    fail(services.state, "01")
    for _ in range(30):
        clock.advance(hours=1)
        notify_round(services, deliver_with=phone)
    first = services.state.list_deliveries()[-1]
    assert (first.status, first.error) == (DeliveryStatus.FAILED, "urls[0] (json): no answer")


def test_without_targets_nothing_piles_up(tmp_path: Path, clock: FakeClock, phone: Phone) -> None:
    services = connect(site(tmp_path, urls=[]), clock)
    fail(services.state, "01")
    notify_round(services, gather=False, deliver_with=phone)
    assert services.state.pending_notices() == []
    assert phone.rings == 0
    services.database.close()


def with_hook(folder: Path, hook: Webhook, clock: FakeClock) -> tuple[Site, Services]:
    made = site(folder, urls=[hook.url])
    return made, connect(made, clock)


def test_two_senders_at_once_tell_once(tmp_path: Path, clock: FakeClock) -> None:
    with webhook() as hook:
        made, services = with_hook(tmp_path, hook, clock)
        for number in range(5):
            fail(services.state, f"{number:02}", signature=f"s{number}")
        clock.advance(minutes=2)
        barrier = threading.Barrier(4)

        def work() -> None:
            mine = connect(made, clock)
            barrier.wait(20)
            notify_round(mine)
            mine.database.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        notify_round(services)
        assert [message["title"].split(":")[0] for message in hook.messages] == ["[neuroflow demo] 5 things"]
        services.database.close()


def test_a_webhook_that_was_down_is_told_once_when_it_is_back(tmp_path: Path, clock: FakeClock) -> None:
    with webhook() as hook:
        _, services = with_hook(tmp_path, hook, clock)
    fail(services.state, "01")
    report = notify_round(services, gather=False)
    assert "Connection refused" in report.failed[0]
    assert "geheim" not in report.failed[0] + services.state.list_deliveries()[0].error
    with webhook(hook.port) as back:
        for _ in range(3):
            clock.advance(minutes=5)
            notify_round(services)
        assert len(back.messages) == 1
    services.database.close()


DIES_AFTER_SENDING = """
import os, signal, sys
from neuroflow.config import NeuroflowConfig
from neuroflow.notify.send import send
from neuroflow.orchestrator.notifications import notify_round
from neuroflow.orchestrator.services import Services

def deliver(target, message):
    send(target, message)
    os.kill(os.getpid(), signal.SIGKILL)

notify_round(Services.from_config(NeuroflowConfig.find_and_load(sys.argv[1])), gather=False, deliver_with=deliver)
"""


@pytest.mark.slow
def test_a_sender_that_is_killed_after_sending_makes_another_one_send_again(tmp_path: Path, clock: FakeClock) -> None:
    with webhook() as hook:
        made, services = with_hook(tmp_path, hook, clock)
        fail(services.state, "01")
        command = [sys.executable, "-c", DIES_AFTER_SENDING, str(made.folder.config)]
        assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
        (delivery,) = services.state.list_deliveries()
        clock.now = delivery.next_try_at - timedelta(seconds=1)
        notify_round(services)
        assert len(hook.messages) == 1
        clock.advance(seconds=2)
        notify_round(services)
        assert len(hook.messages) == 2  # at least once
        assert [item.status for item in services.state.list_deliveries()] == [DeliveryStatus.SENT]
        services.database.close()


@pytest.mark.parametrize("services", [{"email_recipients": ["lab@example.org"]}], indirect=True)
def test_a_dead_target_keeps_no_other_one_waiting(services: Services, clock: FakeClock) -> None:
    told: list[str] = []

    def only_mail(target: Target, message: Message) -> None:
        if not target.name.startswith("mail"):
            raise NotificationError(f"{target.name}: no answer")
        told.append(message.subject)

    for number in range(3):
        fail(services.state, f"{number:02}", signature=f"s{number}")
        clock.advance(minutes=2)
        notify_round(services, deliver_with=only_mail)
    assert len(told) == 3
    assert {item.target for item in services.state.list_deliveries(statuses=[DeliveryStatus.PENDING])} == {
        "urls[0] (json)"
    }
