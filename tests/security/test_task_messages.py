"""Whoever reaches the broker can send messages: none of them may do more than hint at work that is due anyway."""

from __future__ import annotations

import json
import os
import pickle
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from neuroflow.domain import FoundSession, RunRecord, RunStatus, Series
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import preview
from tests.chain.site import Site, celery

pytestmark = pytest.mark.slow

TASKS = "neuroflow.workers.tasks"
PATIENCE_SECONDS = 60


class Touch:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


def open_run(services: Services) -> RunRecord:
    """Return the pending run of a session that needs converting."""
    series = (Series("1.2", 1, "dwi", "dwi", "MR", 20, 20, True),)
    found = FoundSession("01", "01", "/d/01/01", "f", 20, 20, 0.0, series)
    services.state.record_scan([found], settle_minutes=0)
    (proposal,) = preview(services).proposals
    run = services.state.open_run(proposal)
    assert run is not None
    return run


class Answers:
    """What the worker stored in Redis, read without a result backend, whose listener outlives the test's Redis."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis(unix_socket_path=url.removeprefix("redis+socket://").partition("?")[0])

    def of(self, task_id: str) -> dict[str, Any] | None:
        stored = self._redis.get(f"celery-task-meta-{task_id}")
        return json.loads(stored) if isinstance(stored, bytes) else None

    def wait_for(self, task_id: str, log: Path) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_SECONDS
        while (answer := self.of(task_id)) is None or answer["status"] == "STARTED":
            assert time.monotonic() < end, log.read_text(encoding="utf-8")[-3000:]
            time.sleep(0.1)
        return answer

    def close(self) -> None:
        self._redis.close()


def publish_pickle(client: Celery, content: bytes) -> None:
    headers = {"task": f"{TASKS}.run_pipeline", "id": str(uuid.uuid4()), "argsrepr": "", "kwargsrepr": ""}
    with client.connection_for_write() as connection, connection.Producer() as producer:
        producer.publish(
            content,
            routing_key="default",
            exchange="neuroflow",
            headers=headers,
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )


def test_messages_can_neither_run_something_else_nor_change_what_is_known(tmp_path: Path, redis_server: str) -> None:
    site = Site(tmp_path, {"redis": {"url": redis_server}})
    services = site.services()
    run = open_run(services)
    marker = tmp_path / "marker"
    log = site.root / "celery-worker.log"
    with (
        celery(site, "worker", "-c", "1", "-Q", "default"),
        Celery(broker=site.config().redis_url()) as client,
        closing(Answers(redis_server)) as answers,
    ):
        client.conf.broker_transport_options = {"priority_steps": list(range(10))}

        def send(task: str, *arguments: object, **named: object) -> str:
            return str(client.send_task(task, args=arguments, kwargs=named, queue="default", priority=5).id)

        publish_pickle(client, pickle.dumps((("1",), {"x": Touch(marker)}, {})))
        send("os.system", f"touch {marker}")
        refused = [
            send(f"{TASKS}.run_pipeline", run.id, run.pipeline, command=["touch", str(marker)]),
            send(f"{TASKS}.run_pipeline", run.id, run.pipeline, None, None, f"touch {marker}"),
            *(send(f"{TASKS}.run_pipeline", bad, run.pipeline) for bad in ("1 OR 1=1", [run.id], {"a": 1}, -1, 10**30)),
            send(f"{TASKS}.cleanup_stale_runs", hours=0),
            send(f"{TASKS}.cleanup_stale_runs", hours=-1e9),
        ]
        other = send(f"{TASKS}.run_pipeline", run.id, f"qsiprep; touch {marker}")
        last = send(f"{TASKS}.cleanup_stale_runs", hours=48)

        assert answers.wait_for(last, log)["result"] == {"stale_found": 0, "cancelled": 0}, "the worker goes on"
        assert [(answers.of(task) or {}).get("status") for task in refused] == ["FAILURE"] * len(refused)
        answer = answers.wait_for(other, log)["result"]
        assert (answer["success"], answer["status"]) == (False, "pending")
        assert f"run {run.id} is one of bids_conversion" in answer["message"]
    assert not marker.exists()
    after = services.state.get_run(run.id)
    assert (after.status, services.state.latest_attempt(run.id)) == (RunStatus.PENDING, None)
