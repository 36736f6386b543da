"""`neuroflow metrics`: what Prometheus is to know, printed or served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroflow.metrics.facts import Facts

DEFAULT_ADDRESS = "127.0.0.1:9797"


@click.group(
    "metrics",
    invoke_without_command=True,
    epilog=examples("neuroflow metrics", "neuroflow metrics serve", "neuroflow metrics files"),
)
@click.pass_context
def metrics_group(context: click.Context) -> None:
    """Print the Prometheus metrics as they are now."""
    if context.invoked_subcommand is not None:
        return
    from neuroflow.metrics.exposition import exposition

    click.echo(exposition(_gatherer(context.obj)), nl=False)


@metrics_group.command(
    "serve", epilog=examples("neuroflow metrics serve", "neuroflow metrics serve --listen 127.0.0.1:9900")
)
@click.option("--listen", metavar="HOST:PORT", help=f"Default: metrics.http, or {DEFAULT_ADDRESS}.")
@pass_app
def serve(app: AppContext, listen: str | None) -> None:
    """Serve the metrics over HTTP until SIGTERM or Ctrl-C."""
    import signal
    import threading

    from neuroflow.metrics import exposition

    config = app.config()
    host, port = _address(listen or config.metrics.http or DEFAULT_ADDRESS, is_open=config.metrics.open)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    port, stop = exposition.serve(_gatherer(app), host=host, port=port)
    name = f"[{host}]" if ":" in host else host
    click.echo(f"serving http://{name}:{port}/metrics")
    done.wait()
    stop()


@metrics_group.command("files", epilog=examples("neuroflow metrics files"))
def files() -> None:
    """Show where the alert rules and the Grafana dashboard lie."""
    from neuroflow.data import data_path

    for path in sorted(data_path("monitoring").iterdir()):
        click.echo(path)


def _address(text: str, *, is_open: bool) -> tuple[str, int]:
    from neuroflow.config.upkeep import is_loopback, split_address
    from neuroflow.errors import UsageError

    try:
        host, port = split_address(text)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from error
    if not is_loopback(host) and not is_open:
        raise UsageError(
            f"--listen: {host} can be reached from other machines, and the metrics have no password",
            hint="take 127.0.0.1, or set metrics.open: true",
        )
    return host, port


def _gatherer(app: AppContext) -> Callable[[], Facts]:
    from neuroflow.metrics.facts import gather
    from neuroflow.workers.celery_app import create_celery_app
    from neuroflow.workers.presence import broker_state

    services = app.services()
    celery = create_celery_app(services.config)
    return lambda: gather(services, broker=broker_state(celery))
