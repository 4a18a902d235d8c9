"""`ftk label-next`: the rows that it leaves out, the file that it writes, and the inputs that it refuses."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.label_next import check_task
from ft_toolkit.tasks import find_tasks


def test_wrong_arguments_are_refused(here: Callable[..., Any], tmp_path: Path) -> None:
    pool, labels = tmp_path / "pool.txt", tmp_path / "labels.csv"
    for path in (pool, labels):
        path.write_text("a text\n", encoding="utf-8")
    for words, message in [
        ([pool, "--output", tmp_path / "next.xlsx"], "unknown output type '.xlsx'"),
        ([pool, "--output", labels], "labels.csv exists, and may contain labels"),
        ([tmp_path / "absent.csv", "--output", tmp_path / "next.csv"], "absent.csv"),
        ([pool, "--output", tmp_path / "next.csv"], "results.json"),
    ]:
        refused = here("label-next", tmp_path, *words, check=False)
        assert refused.returncode == 2 and message in refused.stderr
    assert labels.read_text(encoding="utf-8") == "a text\n"


def test_tasks_without_one_label_per_text_are_refused() -> None:
    tasks = find_tasks()
    check_task(tasks["text_classification"], tasks["text_classification"].settings(name="text_classification"))
    for name, values in [
        ("text_classification", {"problem_type": "regression"}),
        ("text_classification", {"problem_type": "multi_label_classification"}),
        ("ner", {}),
        ("question_answering", {}),
    ]:
        with pytest.raises(UsageError, match=f"task {name} .* supports classifiers with one label per text"):
            check_task(tasks[name], tasks[name].settings(name=name, **values))


def write_pool(path: Path, training: dict[str, Any]) -> None:
    """Write 40 new rows, one of them a formula, two rows that repeat one of them, and two training rows."""
    new = [f"{'=good' if number == 7 else 'the lamp'} broken when {number}" for number in range(40)]
    texts = [*new, new[0].upper(), f" {new[1]}", training["text"], training["text"].upper()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text"])
        writer.writerows([f"k{number}", text] for number, text in enumerate(texts))


@pytest.mark.slow
def test_rows_are_chosen_for_a_finished_run(
    write_recipe: Callable[..., Path], here: Callable[..., Any], tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    recipe, run, pool = write_recipe(), tmp_path / "demo", tmp_path / "pool.csv"
    here("run", recipe, "--output", run)
    write_pool(pool, rows[0])

    for by in ("uncertainty", "diversity", "both"):
        output = tmp_path / f"{by}.jsonl"
        done = here("label-next", run, pool, "-k", 8, "--by", by, "--output", output)
        assert "44 rows; left out: 2 training rows, 2 repeated rows" in done.stdout
        assert f"the run has no learning curve. To measure one: ftk scale {run}/recipe.yaml" in done.stdout.replace(
            "\n", " "
        )
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert [line["next_rank"] for line in lines] == list(range(1, 9))
        assert all(line["key"] == f"k{line['next_row'] - 1}" and line["next_row"] <= 40 for line in lines)
        assert all(("; rows in its cluster: " in line["next_reason"]) == (by != "uncertainty") for line in lines)
        if by != "diversity":
            uncertain = [line["next_uncertainty"] for line in lines]
            assert uncertain == sorted(uncertain, reverse=True)
    again = here("label-next", run, pool, "-k", 8, "--output", output, check=False)
    assert again.returncode == 2 and "exists, and may contain labels" in again.stderr

    scale = tmp_path / "demo-scale"
    here("scale", run / "recipe.yaml", "--shares", "0.25,0.5,1", "--output", scale)
    output = tmp_path / "all.csv"
    done = here("label-next", run, pool, "--output", output)
    assert "note: only 40 rows are left, so all are chosen" in done.stdout
    assert "Expected gain: unknown" not in done.stdout
    with output.open(encoding="utf-8", newline="") as file:
        texts = {line["key"]: line["text"] for line in csv.DictReader(file)}
    assert len(texts) == 40 and texts["k7"] == "'=good broken when 7"

    pool.write_text(f"text\n{rows[0]['text']}\n", encoding="utf-8")
    refused = here("label-next", run, pool, "--output", tmp_path / "b.csv", check=False)
    assert refused.returncode == 2 and "all 1 rows are training rows" in refused.stderr
    other = here("label-next", run, pool, "--output", tmp_path / "b.csv", "--curve", tmp_path, check=False)
    assert other.returncode != 0 and "scale.json" in other.stderr
