"""What waits and why, as the scheduler last said it: grouped, and kept for those who only look.

To say it anew, everything has to be read: `advance` does that anyway, `neuroflow status` must not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from neuroflow.domain.overview import WaitGroup, WaitKind
from neuroflow.orchestrator.keys import WAITS_KEY

if TYPE_CHECKING:
    from neuroflow.orchestrator.plan import Wait
    from neuroflow.orchestrator.services import Services

_EXAMPLES = 3
# A site whose runs all wait for reasons of their own keeps the commonest.
_MOST_GROUPS = 200


def remember_waits(services: Services, waits: Iterable[Wait]) -> None:
    """Keep what waits for what."""
    groups = group_waits(waits)
    kept = groups[:_MOST_GROUPS]
    more = sum(group.count for group in groups[_MOST_GROUPS:])
    services.state.set_value(WAITS_KEY, {"groups": [asdict(group) for group in kept], "more": more})


def group_waits(waits: Iterable[Wait]) -> list[WaitGroup]:
    """Put those of a pipeline together that wait for the same thing, the largest groups first."""
    found: dict[tuple[str, WaitKind, str], list[str]] = {}
    for wait in waits:
        found.setdefault((wait.pipeline, wait.kind, wait.about or wait.reason), []).append(wait.scope)
    groups = [WaitGroup(*key, count=len(scopes), examples=tuple(scopes[:_EXAMPLES])) for key, scopes in found.items()]
    return sorted(groups, key=lambda group: -group.count)


def groups_of(value: Mapping[str, Any]) -> list[WaitGroup]:
    """Return what was kept."""
    return [
        WaitGroup(
            str(item["pipeline"]), WaitKind(item["kind"]), str(item["reason"]), int(item["count"]), (*item["examples"],)
        )
        for item in value.get("groups", ())
    ]
