"""The notebooks under examples/: they are stored with outputs, they run without the network, and show no machine path."""

import re
import shutil
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# Absolute paths of a machine: of a user, a temporary folder, or this checkout.
MACHINE_PATH = re.compile(r"(/home/|/root/|/Users/|/tmp/|/var/|/work/|[A-Z]:\\\\)" + f"|{re.escape(str(ROOT))}")


def outputs(book: Any) -> list[str]:
    """Return the text of every output of a notebook."""
    return [
        str(text)
        for cell in book.cells
        for output in cell.get("outputs", ())
        for text in (*output.get("data", {}).values(), output.get("text", ""), *output.get("traceback", ()))
    ]


def check(book: Any) -> None:
    """Check that every cell ran, without an error, a message of a library, or a machine path."""
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds <= {"execute_result", "display_data"}, "a stream holds progress or warnings; an error ends the run"
    assert outputs(book)
    for text in outputs(book):
        assert not MACHINE_PATH.search(text), text


def test_the_three_notebooks_are_here() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["classification", "ner", "summarization"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_its_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    check(book)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "data_cards", tmp_path / "data_cards")
    folder = tmp_path / "examples"
    folder.mkdir()
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(book, timeout=1800, resources={"metadata": {"path": str(folder)}})
    client.execute()
    check(book)


@pytest.mark.trains
@pytest.mark.filterwarnings("default")
def test_loading_a_model_shows_nothing_in_a_notebook() -> None:
    """In a notebook, tqdm warns about missing widgets when a library imports it, and transformers shows a bar."""
    book = nbformat.v4.new_notebook()
    lines = ("import ft_toolkit", "model = ft_toolkit.load('run')", "model('lovely')['label']")
    book.cells = [nbformat.v4.new_code_cell("\n".join(lines))]
    folder = ROOT / "tests/fixtures/d305cf2"
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    assert [output.output_type for output in book.cells[0].outputs] == ["execute_result"]
