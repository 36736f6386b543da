"""Read an exit record: the tools differ in their outputs, not in how they end."""

from __future__ import annotations

from neuroflow.domain import AdapterResult, ContainerRun, ExitRecord, folder_gone


def read_result(run: ContainerRun, record: ExitRecord) -> AdapterResult:
    """Say in one object how an ended attempt went."""
    message = failure_message(run, record)
    metrics: dict[str, float | int | str] = {"restarts": record.restart_count}
    if record.max_rss_mb is not None:
        metrics["max_rss_mb"] = record.max_rss_mb
    if record.cpu_seconds is not None:
        metrics["cpu_seconds"] = record.cpu_seconds
    if record.crash_files:
        metrics["crash_files"] = len(record.crash_files)
    return AdapterResult(
        success=message is None,
        exit_code=record.exit_code,
        output_path=run.publish_dir if message is None else None,
        error_message=message,
        metrics=metrics,
        duration_seconds=max(record.ended_at - record.started_at, 0.0),
    )


def failure_message(run: ContainerRun, record: ExitRecord) -> str | None:
    """Return why an attempt failed, the most telling reason first, or None."""
    if record.bad_input:
        return folder_gone(record.bad_input) or f"{run.pipeline} refused its input: {record.bad_input}"
    if record.error:
        return record.error
    if record.signal is not None:
        return f"{run.pipeline} was ended by signal {record.signal}"
    if record.exit_code != 0:
        last_line = record.stderr_tail.strip().rpartition("\n")[2]
        return f"{run.pipeline} ended with exit code {record.exit_code}" + (f": {last_line}" if last_line else "")
    if record.missing_outputs:
        return f"{run.pipeline} ended with exit code 0, but without {', '.join(record.missing_outputs)}"
    if record.crash_files:
        return f"{run.pipeline} ended with exit code 0, but left crash files: {', '.join(record.crash_files)}"
    if not record.published:
        return f"the results were not moved into {run.publish_dir}; they are in {run.output_dir}"
    return None
