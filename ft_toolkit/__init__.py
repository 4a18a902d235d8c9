"""ft_toolkit: a recipe goes in; a fine-tuned, proven, documented model comes out.

The names below are the public ones. They are imported on first use, so that `import ft_toolkit` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft_toolkit.inference.model_folder import load as load
    from ft_toolkit.recipe.load import LoadedRecipe as LoadedRecipe
    from ft_toolkit.recipe.load import load_recipe as load_recipe
    from ft_toolkit.runs.seeds import run_recipe as run_recipe
    from ft_toolkit.tasks import find_tasks as find_tasks

__version__ = "0.1.0"

# Public name -> module and name there. No public name may be that of a module: `ft_toolkit.run` is the module run.py
# as soon as anything has imported it.
_PUBLIC = {
    "LoadedRecipe": ("ft_toolkit.recipe.load", "LoadedRecipe"),
    "find_tasks": ("ft_toolkit.tasks", "find_tasks"),
    "load": ("ft_toolkit.inference.model_folder", "load"),
    "load_recipe": ("ft_toolkit.recipe.load", "load_recipe"),
    "run_recipe": ("ft_toolkit.runs.seeds", "run_recipe"),
}
__all__ = ["LoadedRecipe", "__version__", "find_tasks", "load", "load_recipe", "run_recipe"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'ft_toolkit' has no attribute '{name}'")
