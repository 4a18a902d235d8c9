"""ft_toolkit: fine-tune, test and document BERT- and GPT-2-class models on classic NLP tasks.

    import ft_toolkit

    run = ft_toolkit.fine_tune("text_classification", train=frame, model="google-bert/bert-base-uncased")
    run.predict("a text")
    model = ft_toolkit.load("runs/text_classification")

The names in `__all__` are public. Each is imported on first use, so that `import ft_toolkit` loads no heavy library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft_toolkit.api import Evaluation as Evaluation
    from ft_toolkit.api import FineTunedRun as FineTunedRun
    from ft_toolkit.api import fine_tune as fine_tune
    from ft_toolkit.api import load as load
    from ft_toolkit.core.errors import DataError as DataError
    from ft_toolkit.core.errors import FtkError as FtkError
    from ft_toolkit.core.errors import HubError as HubError
    from ft_toolkit.core.errors import ModelError as ModelError
    from ft_toolkit.core.errors import NotFiniteError as NotFiniteError
    from ft_toolkit.core.errors import RecipeError as RecipeError
    from ft_toolkit.core.errors import UsageError as UsageError
    from ft_toolkit.inference.model_folder import LoadedModel as LoadedModel
    from ft_toolkit.recipe.load_recipe import LoadedRecipe as LoadedRecipe
    from ft_toolkit.recipe.load_recipe import load_recipe as load_recipe
    from ft_toolkit.runs.seeds import run_recipe as run_recipe
    from ft_toolkit.tasks import find_tasks as find_tasks

__version__ = "0.1.0"

# Public name -> its module. A public name must differ from the names of the rooms and modules of this package:
# `ft_toolkit.report` is the room as soon as anything imports it.
_PUBLIC = {
    "DataError": "ft_toolkit.core.errors",
    "Evaluation": "ft_toolkit.api",
    "FineTunedRun": "ft_toolkit.api",
    "FtkError": "ft_toolkit.core.errors",
    "HubError": "ft_toolkit.core.errors",
    "LoadedModel": "ft_toolkit.inference.model_folder",
    "LoadedRecipe": "ft_toolkit.recipe.load_recipe",
    "ModelError": "ft_toolkit.core.errors",
    "NotFiniteError": "ft_toolkit.core.errors",
    "RecipeError": "ft_toolkit.core.errors",
    "UsageError": "ft_toolkit.core.errors",
    "find_tasks": "ft_toolkit.tasks",
    "fine_tune": "ft_toolkit.api",
    "load": "ft_toolkit.api",
    "load_recipe": "ft_toolkit.recipe.load_recipe",
    "run_recipe": "ft_toolkit.runs.seeds",
}
__all__ = [
    "DataError",
    "Evaluation",
    "FineTunedRun",
    "FtkError",
    "HubError",
    "LoadedModel",
    "LoadedRecipe",
    "ModelError",
    "NotFiniteError",
    "RecipeError",
    "UsageError",
    "__version__",
    "find_tasks",
    "fine_tune",
    "load",
    "load_recipe",
    "run_recipe",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ft_toolkit' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Return the public names, for tab completion."""
    return __all__
