"""Silence the progress bars, log messages and warnings of the libraries while the Python API works."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ft_toolkit.core.environment import use_cpu

# Warnings that are attributed to a module of these packages are hidden.
_LIBRARIES = ("torch", "transformers", "accelerate", "peft", "datasets", "evaluate", "huggingface_hub", "tokenizers")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the context, the libraries show errors only. Their settings are restored at the end."""
    import transformers.utils.logging as transformers_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # read by tokenizers before a fork, and by DeepSpeed when it is imported
    variables = {"TOKENIZERS_PARALLELISM": "true"} | ({"DS_ACCELERATOR": "cpu"} if use_cpu() else {})
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    loggers = {name: logging.getLogger(name).level for name in _LIBRARIES if name != "transformers"}
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if hub_bars:
        disable_progress_bars()
    for name in loggers:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with _quiet_datasets(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=rf"({'|'.join(_LIBRARIES)})(\.|$)")
            # peft 0.21 reads an attribute of transformers 5.23 by its old name
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            yield
    finally:
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)
        if hub_bars:
            enable_progress_bars()
        if bars:
            transformers_logging.enable_progress_bar()
        transformers_logging.set_verbosity(verbosity)
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Disable the progress bars of `datasets`, if it is imported: importing it takes a second."""
    datasets = sys.modules.get("datasets")
    bars = datasets is not None and not datasets.are_progress_bars_disabled()
    if datasets is not None and bars:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if datasets is not None and bars:
            datasets.enable_progress_bars()
