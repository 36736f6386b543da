"""The shipped dashboard and alert rules load, and ask only for metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from neuroflow.metrics.exposition import exposition
from tests.metrics.test_families import FULL
from tests.support.promtool import promtool

FOLDER = Path(__file__).resolve().parents[2] / "monitoring"
NAME = re.compile(r"\bneuroflow_\w+")


def exported() -> set[str]:
    """Return the names of all series."""
    lines = exposition(lambda: FULL).splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if line and not line.startswith("#")}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return found


def queries() -> Iterator[str]:
    """Yield every query of the dashboard."""
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_dashboard_asks_only_for_what_is_exported() -> None:
    asked = {name for query in queries() for name in NAME.findall(query)}
    assert len(asked) > 15
    assert asked <= exported()


def test_the_dashboard_is_laid_out_without_overlaps() -> None:
    board = dashboard()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_every_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    panels = [query for query in queries() if not query.startswith("label_values")]
    recorded = [
        {"record": f"check:query{number}", "expr": query.replace('"$instance"', '".*"')}
        for number, query in enumerate(panels)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}), encoding="utf-8")
    assert f"{len(panels)} rules found" in promtool("check", "rules", str(file))


def test_the_alerts_ask_only_for_what_is_exported() -> None:
    asked = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert asked <= exported()


@pytest.mark.slow
def test_prometheus_takes_the_alerts_and_each_fires_in_its_test() -> None:
    promtool("check", "rules", str(FOLDER / "alerts.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(FOLDER / "alerts_test.yml"))
    cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    silent = {case["alertname"] for test in cases for case in test["alert_rule_test"] if not case.get("exp_alerts")}
    assert {rule["alert"] for rule in rules()} == fired == silent
