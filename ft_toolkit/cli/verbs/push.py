"""`ftk push`: upload a finished run to the Hub."""

from typing import Annotated

import typer

from ft_toolkit.cli.arguments import RunArgument
from ft_toolkit.cli.libraries import load_libraries, quiet_hub
from ft_toolkit.cli.verb import Verb


def push(
    run: RunArgument,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; it is created if necessary.")],
    private: Annotated[
        bool,
        typer.Option(
            "--private/--public", help="Visibility of a new repository. An existing one keeps its visibility."
        ),
    ] = True,
    revision: Annotated[
        str | None, typer.Option(help="Branch to push to; it is created if necessary. Default: main.")
    ] = None,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Open a pull request instead of a commit on the branch.")
    ] = False,
    tag: Annotated[str | None, typer.Option(help="Tag for the commit, such as v1.0.")] = None,
    merged: Annotated[
        bool,
        typer.Option("--merged", help="Merge the adapter into the weights, so that loading needs no peft."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files without uploading anything.")] = False,
) -> None:
    """Upload the model and card of a finished run to the Hub.

    Pushing again uploads only changed files. The token comes from HF_TOKEN or 'hf auth login'.

    \b
    Examples:
      ftk push runs/demo owner/support-inbox --dry-run
      ftk push runs/demo owner/support-inbox --tag v1.0
    """
    if merged:
        load_libraries()
    quiet_hub()
    from ft_toolkit.hub import push as hub
    from ft_toolkit.hub.access import Destination

    to = Destination(repo, private, revision, pull_request, tag)
    pushed = hub.push(run, to, merged=merged, say=print, dry_run=dry_run)
    if pushed is not None:
        print(hub.describe_push(pushed))
        print(f'use it with: ftk predict {repo} "TEXT"')


VERB = Verb(order=70, command=push)
