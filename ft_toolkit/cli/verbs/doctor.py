"""`ftk doctor`: report whether this machine is ready."""

import typer
from rich.console import Console

import ft_toolkit
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.verb import Verb


def doctor() -> None:
    """Check this machine: versions, devices, Hub and cache.

    Exits with code 1 if a required package is missing or the cache is not writable.

    \b
    Examples:
      ftk doctor
    """
    from ft_toolkit.core.doctor import examine

    print(
        f"{'ft_toolkit':<12} {ft_toolkit.__version__}", flush=True
    )  # before the libraries, which take seconds to load
    load_libraries()
    if not examine(Console()):
        raise typer.Exit(1)


VERB = Verb(order=130, command=doctor)
