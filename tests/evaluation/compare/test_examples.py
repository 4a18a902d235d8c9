"""The numbers per example that a run leaves: its scores come out again, for every task, without the model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_json
from ft_toolkit.core.run_folder import EXAMPLES
from ft_toolkit.evaluation.compare.comparison import compare_runs
from ft_toolkit.evaluation.compare.examples import read_examples, write_examples
from ft_toolkit.evaluation.compare.finished_runs import read_runs
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.report.comparison import print_comparison, write_comparison
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks

pytestmark = pytest.mark.trains

RECIPES = {
    "text_classification": "sst2_full",
    "ner": "support_inbox_full",
    "question_answering": "squad_full",
    "generative_question_answering": "squad_v2_t5",
    "summarization": "xsum_bart",
    "translation": "wmt16_en_ro_t5",
    "language_modelling": "small_gpt2_from_scratch",
    "code_generation": "small_functions_gpt2_from_scratch",
    "dialogue": "support_dialogues_gpt2_from_scratch",
    "text_generation": "support_inbox_gpt2_from_scratch",
}


def test_every_task_is_tried() -> None:
    assert RECIPES.keys() == find_tasks().keys()


@pytest.fixture(scope="module", params=RECIPES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run of each task."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    loaded = load_recipe(find_recipe(f"{request.param}/{RECIPES[request.param]}"), [], find_tasks())
    run(loaded, RunOptions(output=folder, resume=False, smoke=True, command="ftk run x", console=Console(quiet=True)))
    return folder


def test_the_scores_come_out_again(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    for split in results["scores"]:
        found = read_examples(finished, split)
        scores = results["scores"][split]
        assert len(found.records) == len(found.predictions) == scores["n"]
        assert found.metrics.keys() == scores["metrics"].keys()
        for name, metric in found.metrics.items():
            value = metric.fn(found.predictions, found.references)
            expected = scores["metrics"][name]["value"]
            assert (expected is None and np.isnan(value)) or value == pytest.approx(expected, rel=1e-12)
            best = metric.fn(found.references, found.references)
            assert np.isnan(best) or best == pytest.approx(metric.best)
    assert read_examples(finished).split == ("test" if "test" in results["scores"] else "validation")
    assert len(set(results["data"]["split_fingerprints"].values())) >= 2


def test_every_task_can_be_compared(finished: Path, tmp_path: Path) -> None:
    """With a run that is entirely right: it is never the worse one, whichever way a metric counts."""
    perfect = tmp_path / "perfect"
    shutil.copytree(finished, perfect)
    splits = list(json.loads((finished / "results.json").read_text())["scores"])
    found = {split: read_examples(finished, split) for split in splits}
    write_examples(perfect, {split: (one.references, one.references) for split, one in found.items()})
    comparison = compare_runs(read_runs([finished, perfect]), metric=None, columns=["length"])
    for line in comparison.metrics:
        assert line.differences["perfect"].outcome != "worse", line.name
        value = line.differences["perfect"].value
        assert value is None or (value >= 0) == line.greater_is_better or value == 0
    assert comparison.disagreements["perfect"].worse == 0
    assert comparison.notes[0].startswith("Smoke runs")
    write_comparison(tmp_path / "page.html", comparison, "ftk compare")
    print_comparison(comparison)
    write_json(tmp_path / "all.json", comparison.as_json())


def test_what_is_not_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run folder not found"):
        read_examples(tmp_path / "nothing")
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(UsageError, match="not finished"):
        read_examples(tmp_path)


def test_files_that_disagree_are_refused(finished: Path, tmp_path: Path) -> None:
    def copy(**changed: Any) -> Path:
        for name in ("results.json", "predictions.jsonl", EXAMPLES):
            content = changed.get(name.partition(".")[0], (finished / name).read_bytes())
            (tmp_path / name).write_bytes(content)
        return tmp_path

    lines = (finished / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    with pytest.raises(UsageError, match="changed after the run"):
        read_examples(copy(predictions=b"".join(lines[:-1])), json.loads(lines[-1])["split"])
    with pytest.raises(UsageError, match="no scores on split 'train'; allowed: "):
        read_examples(copy(), "train")
    with pytest.raises(UsageError, match="not a valid npz file"):
        read_examples(copy(examples=b"PK\x03\x04 not a zip"))
    (tmp_path / EXAMPLES).unlink()
    with pytest.raises(UsageError, match="file not found"):
        read_examples(tmp_path)
