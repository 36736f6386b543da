"""Where the results of completed runs lie: the names that each owns in its dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from neuroflow.cluster.container_record import FILE_NAME as CONTAINER_NAME
from neuroflow.cluster.container_record import parse_container_record
from neuroflow.views.why_answer import PlaceAnswer
from neuroflow.views.why_facts import Facts


def with_results(answers: Sequence[PlaceAnswer], facts: Facts) -> list[PlaceAnswer]:
    """Name the folders of the results, not only the dataset, where the attempts' own folders tell of them.

    They are not asked for behind SSH: a dataset's name is not worth a connection.
    """
    if facts.services.config.cluster.is_remote:
        return list(answers)
    by_run = {one.run: tried[-1] for one in answers if one.output_path and (tried := facts.attempts.get(one.run or 0))}
    found: dict[str, tuple[str, ...]] = {}
    for where in {attempt.where for attempt in by_run.values()}:
        names = [attempt.folder for attempt in by_run.values() if attempt.where == where]
        for folder, files in facts.services.folders(where).look(names, [CONTAINER_NAME]).items():
            run = parse_container_record(files[CONTAINER_NAME].data)
            found[folder] = () if run is None else run.owned
    return [_named(one, found.get(by_run[one.run].folder, ()) if one.run in by_run else ()) for one in answers]


def _named(answer: PlaceAnswer, owned: Sequence[str]) -> PlaceAnswer:
    if answer.output_path is None:
        return answer
    return replace(answer, results=tuple(str(PurePosixPath(answer.output_path) / name) for name in owned))
