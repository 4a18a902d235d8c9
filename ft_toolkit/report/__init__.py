"""The report of a run: results.json, predictions.jsonl, the report page, the model card and the console output."""

from pathlib import Path

from ft_toolkit.report.card import write_card
from ft_toolkit.report.page import write_page


def write_report(run_folder: Path) -> None:
    """Write report.html and README.md (also as the model folder's card) from the files of a run folder."""
    write_page(run_folder)
    write_card(run_folder)
