"""`ftk serve`: serve finished models over HTTP."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_folder import is_local

if TYPE_CHECKING:
    from ft_toolkit.serve.options import Limits, ModelSource

# Option -> field of `Limits`.
LIMITS = {
    "--max-rows": "rows",
    "--max-characters": "characters",
    "--max-body": "body_bytes",
    "--max-queue": "queue",
    "--max-connections": "connections",
    "--rate": "rate",
    "--timeout": "seconds",
    "--read-timeout": "read_seconds",
    "--stop-timeout": "stop_seconds",
}
INSTALL = "pip install 'ft-toolkit[serve]'"


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]MODEL...",
            help="Run folders, model folders, exports or models on the Hub. Default name: the name of the folder.",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="The address. An address that other machines can reach requires FTK_SERVE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 chooses a free one.")] = 8000,
    max_rows: Annotated[int, typer.Option(min=1, help="Maximum rows per request.")] = 256,
    max_characters: Annotated[int, typer.Option(min=1, help="Maximum characters per text.")] = 100_000,
    max_body: Annotated[int, typer.Option(min=1, help="Maximum bytes per request.")] = 1_048_576,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Maximum waiting rows per model. More are refused with 503.")
    ] = 1024,
    max_connections: Annotated[
        int, typer.Option(min=1, help="Maximum open connections. More are refused with 503.")
    ] = 256,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Maximum requests per second and client address. Default: no limit.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Maximum seconds from a request to its answer.")] = 60,
    read_timeout: Annotated[float, typer.Option(min=0.1, help="Maximum seconds to receive a request.")] = 10,
    stop_timeout: Annotated[int, typer.Option(min=0, help="Seconds that SIGTERM leaves to open requests.")] = 30,
    write: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a Dockerfile, a systemd unit and Kubernetes manifests; serve nothing."),
    ] = None,
) -> None:
    """Serve finished models over HTTP, with a page to try them.

    The server needs the extra 'serve'. It answers this machine only, unless --host is given and FTK_SERVE_TOKEN is set.
    SIGHUP loads new versions of the models, SIGTERM stops after the open requests.

    \b
    Examples:
      ftk serve runs/demo
      ftk serve sentiment=runs/sst2 answers=exports/qa --port 9000
      ftk serve sentiment=exports/sst2 --write deploy
    """
    from ft_toolkit.serve.options import Limits, Options, check_address, parse_models, read_token

    sources = parse_models(models)
    for source in sources:
        is_local(source.path)  # raises UsageError for a name that is neither a folder nor a Hub id
    limits = Limits(
        body_bytes=max_body,
        rows=max_rows,
        characters=max_characters,
        rate=rate,
        queue=max_queue,
        connections=max_connections,
        read_seconds=read_timeout,
        seconds=timeout,
        stop_seconds=stop_timeout,
    )
    if write is not None:
        _write(write, sources, port, limits)
        return
    token = read_token()
    check_address(host, token)
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UsageError(f"ftk serve requires {' and '.join(missing)}; install it with: {INSTALL}")
    from ft_toolkit.runtime.exported_model import is_exported_graph
    from ft_toolkit.serve.server import serve as run_server

    if not all(is_local(source.path) and is_exported_graph(source.path) for source in sources):
        load_libraries()
    raise typer.Exit(run_server(Options(sources, host, port, limits, token)))


def _write(target: Path, sources: "tuple[ModelSource, ...]", port: int, limits: "Limits") -> None:
    """Write the files of a deployment, with the options that differ from their defaults."""
    from ft_toolkit.serve.options import Limits
    from ft_toolkit.serve.write_deployment import Deployment, write_deployment

    standard = Limits()
    options = [
        word
        for option, name in LIMITS.items()
        if getattr(limits, name) != getattr(standard, name)
        for word in (option, f"{getattr(limits, name)}")
    ]
    for path in write_deployment(Deployment(sources, options, port, int(limits.stop_seconds)), target):
        print(f"wrote {path}")


VERB = Verb(order=25, command=serve)
