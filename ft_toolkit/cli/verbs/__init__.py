"""The verbs of the command line, found by walking this folder: each module ends with `VERB = Verb(...)`.

To add a verb, add one module here and its test. There is no list to edit.
"""

import importlib
from pathlib import Path

from ft_toolkit.cli.verb import Verb


def find_verbs() -> dict[str, Verb]:
    """Return the verbs by name, in the order of `ftk --help`."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    verbs: dict[str, Verb] = {
        name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}").VERB for name in names
    }
    return dict(sorted(verbs.items(), key=lambda item: item[1].order))
