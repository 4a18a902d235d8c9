"""The arguments of `ftk best`, and the recipe of a candidate."""

from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.tasks import find_tasks


@dataclass(frozen=True)
class BestRequest:
    """The arguments of `ftk best`: the recipe as named on the command line, its file, the user's settings, and the time."""

    recipe: str
    path: Path
    words: tuple[str, ...]
    minutes: float

    def load(self, settings: tuple[str, ...] = ()) -> LoadedRecipe:
        """Return the recipe with the settings of a candidate. Raises RecipeError, and UsageError for several seeds."""
        loaded = load_recipe(self.path, self.all_settings(settings), find_tasks())
        if loaded.recipe.training.seeds is not None:
            raise UsageError("training.seeds: 'ftk best' chooses the seeds; set training.seed instead")
        if loaded.recipe.data.fold is not None:
            raise UsageError("data.fold: the test rows of a fold must not be scored by 'ftk best'; remove it (null)")
        return loaded

    def all_settings(self, settings: tuple[str, ...]) -> list[str]:
        """Return the overrides of a candidate, without upload, and without a published result of other settings."""
        return [*self.words, *settings, "hub.push=false", "reference=null"]
