"""The command line. Each verb is a module of the folder `verbs`.

No module here imports torch at module level, so that an invalid recipe fails before torch is loaded.
"""

import os
import signal
import sys
from types import TracebackType
from typing import Annotated

import typer

import ft_toolkit
from ft_toolkit.cli.settings_as_options import VerbWithSettings
from ft_toolkit.cli.verbs import find_verbs
from ft_toolkit.core.errors import FtkError, LostProcessError, RecipeError
from ft_toolkit.core.fresh_process import keep_process
from ft_toolkit.core.output import flush_output
from ft_toolkit.core.signals import StopSignal, stop_signals_as_errors
from ft_toolkit.core.standard_input import reserved_standard_input
from ft_toolkit.core.storage import StorageErrors
from ft_toolkit.training.distributed.launch import reports_errors

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"ft_toolkit {ft_toolkit.__version__}")
        raise typer.Exit


@app.callback()
def ftk(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tune BERT- and GPT-2-class models from a recipe, with scores that you can trust.

    \b
    Examples:
      ftk run demo                       train a small model on the built-in data
      ftk recipes                        list the shipped recipes
      ftk predict runs/demo "a text"     use a finished run
    """


for name, verb in find_verbs().items():
    if isinstance(verb.command, typer.Typer):
        app.add_typer(verb.command, name=name)
    else:
        app.command(name, cls=VerbWithSettings if verb.takes_settings else None)(verb.command)


def main() -> None:
    """Run the command line and exit with its exit code. Errors that a user can cause are printed without a traceback.

    With several processes, only the first to fail prints its error.
    """
    sys.excepthook = _print_traceback
    try:
        with keep_process(), stop_signals_as_errors(os.environ), StorageErrors(), reserved_standard_input():
            app()
    except FtkError as error:
        heading = "" if isinstance(error, RecipeError) else "error: "
        if reports_errors(os.environ, lost_another=isinstance(error, LostProcessError)):
            print(f"{heading}{error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, StopSignal) as stopped:
        signum = stopped.signum if isinstance(stopped, StopSignal) else signal.SIGINT
        if reports_errors(os.environ):
            name = signal.Signals(signum).name
            print(
                f"stopped by {name}; to resume a run, repeat its command with --output FOLDER --resume", file=sys.stderr
            )
        sys.exit(128 + signum)
    finally:
        if problem := flush_output():
            print(f"error: {problem}", file=sys.stderr)
            sys.exit(1)


def _print_traceback(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print the traceback of a bug, unless another process of this run failed first."""
    if reports_errors(os.environ):
        sys.__excepthook__(kind, error, traceback)
