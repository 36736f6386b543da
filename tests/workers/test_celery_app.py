"""The Celery application: what the design fixes, and the traps of Redis as a broker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery
from celery.schedules import crontab

from neuroflow.config import NeuroflowConfig
from neuroflow.orchestrator.keys import WORKER_CONFIG_KEY
from neuroflow.orchestrator.services import Services
from neuroflow.workers import celery_app, tasks, workflow_tasks
from neuroflow.workers.celery_app import create_celery_app, message_priority, redis_priority
from neuroflow.workers.dispatch import CeleryDispatcher
from tests.chain.site import Site
from tests.support.states import add_session, open_run


@pytest.fixture
def config(tmp_path: Path) -> NeuroflowConfig:
    (tmp_path / "dicom").mkdir()
    names = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")
    return NeuroflowConfig(paths={name: tmp_path / name.split("_")[0] for name in names})


@pytest.fixture
def app(config: NeuroflowConfig) -> Celery:
    return create_celery_app(config)


def test_queues_and_routing_keys(app: Celery) -> None:
    keys = {queue.name: queue.routing_key for queue in app.conf.task_queues}
    assert keys == {
        "workflow": "workflow",
        "discovery": "discovery",
        "bids": "bids",
        "processing": "processing",
        "heavy_processing": "heavy",
        "default": "default",
    }
    assert {queue.exchange.name for queue in app.conf.task_queues} == {"neuroflow"}
    assert {queue.exchange.type for queue in app.conf.task_queues} == {"direct"}


def test_priorities_run_the_other_way_round_on_redis(app: Celery) -> None:
    assert [redis_priority(value) for value in (10, 8, 5, 4, 2, 0)] == [0, 2, 5, 6, 8, 9]
    assert app.conf.broker_transport_options["queue_order_strategy"] == "priority"
    assert app.conf.broker_transport_options["priority_steps"] == list(range(10))
    assert app.conf.task_default_priority == redis_priority(5)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [("bids", [5, 4, 3]), ("processing", [4, 3, 2]), ("heavy_processing", [2, 1, 1]), ("mine", [5, 4, 3])],
)
def test_the_hint_of_a_run_that_goes_first_overtakes_others_within_its_queue(queue: str, expected: list[int]) -> None:
    assert [message_priority(queue, priority) for priority in (10, 0, -10)] == expected


def test_nothing_is_redelivered_while_it_may_still_run(app: Celery) -> None:
    for options in (app.conf.broker_transport_options, app.conf.result_backend_transport_options):
        assert options["visibility_timeout"] > app.conf.task_time_limit
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1


def test_limits_and_results(app: Celery) -> None:
    assert (app.conf.task_soft_time_limit, app.conf.task_time_limit) == (43_200, 86_400)
    assert app.conf.worker_concurrency == 4
    assert app.conf.result_expires == 7 * 24 * 3600
    assert app.conf.result_extended
    assert app.conf.accept_content == ["json"]
    assert app.conf.timezone == "UTC"


def test_every_beat_entry_and_route_names_a_registered_task(app: Celery) -> None:
    app.loader.import_default_modules()
    app.finalize()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
    assert set(app.conf.task_routes) <= set(app.tasks)


def test_beat_times(app: Celery) -> None:
    schedule = app.conf.beat_schedule
    assert schedule["master-workflow"]["schedule"] == crontab(minute="0", hour="2", day_of_month="*/3")
    assert schedule["scan-directories"]["schedule"] == crontab(minute="0")
    assert schedule["cleanup-stale-runs"]["schedule"] == crontab(minute="0", hour="3")
    assert schedule["poll-jobs"]["schedule"] == 60.0


def test_environment_can_not_move_the_broker(config: NeuroflowConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere:1/0")
    assert create_celery_app(config).conf.broker_url == config.redis_url()


def test_importing_needs_no_configuration() -> None:
    assert celery_app.QUEUES["workflow"] == 10
    assert tasks.poll_jobs.name == "neuroflow.workers.tasks.poll_jobs"
    assert workflow_tasks.run_master_workflow.max_retries == 0


def test_a_workers_services_say_which_configuration_they_have(
    config: NeuroflowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services.from_config(config, check_schema=False)
    services.database.upgrade()
    monkeypatch.setattr(celery_app, "get_celery_app", lambda: create_celery_app(config))
    celery_app._services.cache_clear()

    celery_app.get_services()

    assert not services.workers_are_outdated()
    assert services.state.get_value(WORKER_CONFIG_KEY) is not None
    celery_app._services.cache_clear()
    services.database.close()


def test_a_worker_says_at_its_start_which_configuration_it_has(
    config: NeuroflowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services.from_config(config, check_schema=False)
    services.database.upgrade()
    services.state.set_value(WORKER_CONFIG_KEY, {"digest": "of another one"})
    monkeypatch.setattr(celery_app, "get_celery_app", lambda: create_celery_app(config))

    celery_app._tell_configuration()

    assert not services.workers_are_outdated()
    services.database.close()


def test_a_worker_starts_though_it_can_not_say_which_configuration_it_has(
    config: NeuroflowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery_app, "get_celery_app", lambda: create_celery_app(config))
    celery_app._tell_configuration()  # there is no database
    assert not config.paths.state_dir.exists()


def test_the_hints_of_runs_that_go_first_are_taken_out_of_their_queue_first(tmp_path: Path, redis_server: str) -> None:
    services = Site(tmp_path / "site", {"redis": {"url": redis_server}}).services()
    sessions = [add_session(services.state, subject) for subject in ("01", "02", "03")]
    runs = [open_run(services.state, session) for session in sessions]
    app = create_celery_app(services.config)
    dispatcher = CeleryDispatcher(app, services.state)
    taken = []
    for run, priority in zip(runs, (-10, 0, 10), strict=True):
        dispatcher.send([replace(run, priority=priority)], services.registry.get("bids_conversion"))
    with app.connection_for_read() as connection, connection.SimpleQueue("bids") as queue:
        for _ in runs:
            message = queue.get(timeout=10)
            taken.append(message.payload[0][0])
            message.ack()
    app.close()
    services.database.close()
    assert taken == [run.id for run in reversed(runs)]
