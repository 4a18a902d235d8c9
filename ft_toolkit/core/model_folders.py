"""Find the model folder of a finished run."""

from pathlib import Path

from ft_toolkit.core.run_folder import INFERENCE, MODEL, RESULTS
from ft_toolkit.core.run_records import SeedsResults, read_results


def find_model_folder(folder: Path) -> Path | None:
    """Return the folder itself if it is a model folder, else the model folder of a run (of its best seed), or None.

    Raises RunFolderError for a damaged results.json.
    """
    candidates = [folder, folder / MODEL]
    if (folder / RESULTS).is_file():
        results = read_results(folder)
        candidates += [folder / results.best.model] if isinstance(results, SeedsResults) else []
    return next((path for path in candidates if (path / INFERENCE).is_file()), None)
