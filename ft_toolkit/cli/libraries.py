"""Load the heavy libraries without their messages and progress bars."""

import atexit
import gc
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from rich.console import Console

from ft_toolkit.core import environment
from ft_toolkit.core.verbosity import Verbosity


def quiet_hub() -> None:
    """Turn off the progress bars and advice of huggingface_hub. Errors are still shown."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def load_libraries(verbosity: Verbosity = Verbosity.NORMAL) -> None:
    """Import torch, transformers and Accelerate without their advice and progress bars. Errors are still shown.

    The garbage collector is off during the import, and ignores the imported objects afterwards. It would find nothing to
    free among a million objects, and would take 0.8 s during the import and 1 s at exit.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    quiet_hub()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # peft 0.21 reads a renamed attribute of transformers 5.23; users cannot change that
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    # datasets reads this when it is imported, which `predict` never does
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    # oneDNN caches compiled code for up to 1024 shapes of bfloat16 products. A limit of 128 saves 240 MiB in a small
    # training and costs 1% of the time (two rounds of five runs: 8.3 and 8.4 s).
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    gc.disable()
    try:
        with _loading_message(verbosity):
            from transformers.utils import logging

            import_module("ft_toolkit.evaluation.predictor")
    finally:
        gc.enable()
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.freeze)
    logging.disable_progress_bar()
    if environment.use_cpu():  # otherwise DeepSpeed, if installed, prints that it guessed the CPU
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def _loading_message(verbosity: Verbosity) -> AbstractContextManager[object]:
    """Show "loading libraries" while the context is open, on a terminal and on the main process only."""
    console = Console(stderr=True)
    if verbosity == Verbosity.QUIET or not console.is_terminal or os.environ.get("RANK", "0") != "0":
        return nullcontext()
    return console.status("loading libraries")
