"""The report of a run: results.json, predictions.jsonl, the report page, the model card and the console output."""

from pathlib import Path

from ft_toolkit.core.run_records import RunResults
from ft_toolkit.report.card import write_card
from ft_toolkit.report.page import write_page


def write_report(run_folder: Path, results: RunResults | None = None) -> None:
    """Write report.html and README.md (also as the model folder's card) from the files of a run folder.

    `results` is the content of results.json, if that file is not written yet.
    """
    write_page(run_folder, results)
    write_card(run_folder, results)
