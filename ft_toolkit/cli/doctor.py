"""`ftk doctor`: report what works on this machine."""

import typer
from rich.console import Console

from ft_toolkit.cli.libraries import load_libraries


def doctor() -> None:
    """Say what works here: versions, devices, Hub, cache."""
    from ft_toolkit.core.doctor import examine

    load_libraries()
    if not examine(Console()):
        raise typer.Exit(1)
