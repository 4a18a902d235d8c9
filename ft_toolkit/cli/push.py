"""`ftk push`: upload a finished run to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.libraries import load_libraries, quiet_hub


def push(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    repo: Annotated[str, typer.Argument(help="Where to: owner/name.")],
    private: Annotated[
        bool,
        typer.Option("--private/--public", help="Who sees a repository that has to be made; others stay as they are."),
    ] = True,
    revision: Annotated[str | None, typer.Option(help="A branch, made if it is not there. Default: main.")] = None,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Propose the change instead of making it.")
    ] = False,
    tag: Annotated[str | None, typer.Option(help="Call the commit so, e.g. v1.0.")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Fold the adapter into the weights: needs neither peft nor the base model.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files; send nothing.")] = False,
) -> None:
    """Upload a finished run's model and card to the Hub; pushing again uploads only what has changed."""
    if merged:
        load_libraries()
    quiet_hub()
    from ft_toolkit.hub import push as hub
    from ft_toolkit.hub.access import Destination

    to = Destination(repo, private, revision, pull_request, tag)
    pushed = hub.push(run, to, merged=merged, say=print, dry_run=dry_run)
    if pushed is not None:
        print(hub.conclusion(pushed))
