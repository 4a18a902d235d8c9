"""Write the page and the cards of a finished folder again, from its other files."""

from pathlib import Path

from ft_toolkit.core.best_records import read_best
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.fold_records import read_folds
from ft_toolkit.core.run_folder import (
    BEST,
    BEST_PAGE,
    CARD,
    FOLDS,
    FOLDS_PAGE,
    LEARNING_CURVE,
    LEARNING_CURVE_PAGE,
    MODEL,
    REPORT,
    RESULTS,
    SWEEP,
    SWEEP_PAGE,
)
from ft_toolkit.core.run_records import RunResults, SeedsResults, read_learning_curve, read_results
from ft_toolkit.core.sweep_records import read_sweep
from ft_toolkit.report import write_report
from ft_toolkit.report.best import write_best_page
from ft_toolkit.report.ensemble_card import write_ensemble_card
from ft_toolkit.report.export_card import write_export_card
from ft_toolkit.report.folds import write_folds_page
from ft_toolkit.report.learning_curve import write_learning_curve_page
from ft_toolkit.report.page import write_page
from ft_toolkit.report.seeds import write_seeds_report
from ft_toolkit.report.sweep import write_sweep_page


def rewrite_report(folder: Path) -> list[Path]:
    """Write the page of a run, evaluation, ensemble, cross-validation, sweep or learning curve again, and its model cards.

    Returns the paths of the written files. Raises UsageError if the folder has no results, RunFolderError for a damaged file.
    """
    if (folder / FOLDS).is_file():
        write_folds_page(folder, read_folds(folder))
        return [folder / FOLDS_PAGE]
    if (folder / BEST).is_file():
        write_best_page(folder, read_best(folder))
        return [folder / BEST_PAGE]
    if (folder / SWEEP).is_file():
        write_sweep_page(folder, read_sweep(folder))
        return [folder / SWEEP_PAGE]
    if (folder / LEARNING_CURVE).is_file():
        write_learning_curve_page(folder, read_learning_curve(folder))
        return [folder / LEARNING_CURVE_PAGE]
    if folder.is_dir() and not (folder / RESULTS).is_file():
        raise UsageError(
            f"{folder}: no finished run, evaluation, cross-validation, sweep or learning curve. Resume a run with --resume"
        )
    results = read_results(folder)
    cards = [folder / CARD, folder / MODEL / CARD]
    if isinstance(results, SeedsResults):
        write_seeds_report(folder, results)
        cards = cards[:1]
    elif isinstance(results, RunResults):
        write_report(folder)
    else:
        write_page(folder)
        if results.kind == "ensemble":
            write_ensemble_card(folder, results)
        elif results.kind == "export":
            write_export_card(folder, results)
        else:
            cards = []
    return [folder / REPORT, *(card for card in cards if card.is_file())]
