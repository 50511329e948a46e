"""`recognizer serve`."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", help="Address to listen on; default: RECOGNIZER_HOST or 127.0.0.1.")
@click.option("--port", type=int, help="Port to listen on; default: RECOGNIZER_PORT or 3000.")
@click.option("--workers", type=int, help="Serving processes; default: RECOGNIZER_WORKERS or 1.")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Answer requests with the champion; every worker follows the store to each new one."""
    from flows.command.session import begin
    from serving.launch import serve as run_service

    run_service(begin(host=host, port=port, workers=workers))
