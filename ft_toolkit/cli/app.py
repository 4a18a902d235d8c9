"""The command line: each verb is a function of a module beside this one. Nothing here imports torch at the top, so that a
wrong recipe is refused before it is loaded."""

import os
import sys
from types import TracebackType

import typer

from ft_toolkit.cli.ci import ci
from ft_toolkit.cli.compare import compare
from ft_toolkit.cli.copy import copy
from ft_toolkit.cli.doctor import doctor
from ft_toolkit.cli.evaluate import evaluate
from ft_toolkit.cli.gate import gate
from ft_toolkit.cli.predict import predict
from ft_toolkit.cli.push import push
from ft_toolkit.cli.recipes import recipes
from ft_toolkit.cli.reproduce import reproduce
from ft_toolkit.cli.run import run
from ft_toolkit.cli.runs import runs
from ft_toolkit.cli.scale import scale
from ft_toolkit.cli.show import show
from ft_toolkit.core.errors import FtkError, LostProcessError, RecipeError
from ft_toolkit.core.fresh_process import end_early
from ft_toolkit.training.distributed.launch import reports_errors

app = typer.Typer(
    help="Fine-tune BERT- and GPT-2-class models from a recipe: exact loss, honest scores, models that reload and agree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (run, scale, reproduce, recipes, show, copy, predict, evaluate, compare, gate, push, runs, doctor):
    app.command()(verb)
app.add_typer(ci, name="ci")


def main() -> None:
    """Run the command line; print a user's error in words and leave with its exit code.

    Only the first of several processes to fail reports its error.
    """
    sys.excepthook = _show_traceback
    try:
        app()
    except FtkError as error:
        heading = "" if isinstance(error, RecipeError) else "error: "
        if reports_errors(os.environ, lost_another=isinstance(error, LostProcessError)):
            print(f"{heading}{error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        if reports_errors(os.environ):
            print("interrupted; a run with a checkpoint goes on with --output FOLDER --resume", file=sys.stderr)
        sys.exit(130)
    finally:
        end_early()


def _show_traceback(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Show the traceback of a bug, unless another process of this run failed first."""
    if reports_errors(os.environ):
        sys.__excepthook__(kind, error, traceback)
