"""After the last step: save the model, prove it, score it, and write results, predictions, report and card."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ft_toolkit.core import environment, files, fresh_process
from ft_toolkit.core.run_records import write_contract, write_results
from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.evaluation.scoring import ScoredSplit, predict_baselines, predict_rows, score_split, scoring_setup
from ft_toolkit.inference.attributions import explain, write_attributions
from ft_toolkit.inference.model_folder import inference_contract
from ft_toolkit.inference.reload_proof import prove_reload, rows_to_prove
from ft_toolkit.models import adapters
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.report import results as results_file
from ft_toolkit.report import write_report
from ft_toolkit.report.mistakes.select import worst_records
from ft_toolkit.report.run_files import read_run
from ft_toolkit.training.prepare import Prepared


def finish(
    folder: Path,
    loaded: LoadedRecipe,
    prepared: Prepared,
    predictor: Predictor,
    decoded: dict[SplitName, list[dict[str, Any]]],
    training: dict[str, Any],
    command: str,
) -> dict[str, Any]:
    """Make the run folder what it is to be, on the main process; return results.json's content.

    `decoded` are the predictions of each split, `training` the facts about it. Raises ReloadError.
    """
    scored, proof = _save_and_prove(folder, prepared, predictor, decoded)
    training = {**training, "peak_memory_mib": environment.peak_memory_mib()}
    scores = {name: one.record for name, one in scored.items()}
    results = results_file.build(loaded.name, prepared, scores, training, proof, command)
    results_file.write_predictions(folder / "predictions.jsonl", prepared.data, prepared.task, prepared.schema, decoded)
    write_examples(folder, {name: (one.predictions, one.references) for name, one in scored.items()})
    write_results(folder, results)
    if limit := prepared.recipe.evaluation.attributions:
        _explain_mistakes(folder, prepared, predictor.model, limit)
    write_report(folder)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return {**results.as_json(), "folder": str(folder)}


def _save_and_prove(
    folder: Path, prepared: Prepared, predictor: Predictor, decoded: dict[SplitName, list[dict[str, Any]]]
) -> tuple[dict[SplitName, ScoredSplit], dict[str, Any]]:
    asked = rows_to_prove(prepared)
    expected = predict_rows(predictor, prepared, asked)
    # if it is not waiting already, only now: beside another process, products on all cores take a multiple of their time
    with fresh_process.take() as fresh, ThreadPoolExecutor(2) as pool:
        loading = pool.submit(
            import_module, "ft_toolkit.metrics.offline"
        )  # half a second, while the weights are written
        with files.atomic_folder(folder / "model") as new:
            adapters.save_model(predictor.model, prepared.recipe.method, prepared.checkpoint, new)
            prepared.tokenizer.save_pretrained(new)
            write_contract(new, inference_contract(new, prepared))
        proving = pool.submit(prove_reload, fresh, folder / "model", prepared, asked, expected)
        loading.result()
        plan = scoring_setup(prepared)
        scored = {
            name: score_split(
                predicted,
                prepared.data.splits[name],
                plan,
                predict_baselines(prepared, name),
                fitted_here=name == "validation",
            )
            for name, predicted in decoded.items()
        }
        return scored, proving.result()


def _explain_mistakes(folder: Path, prepared: Prepared, model: torch.nn.Module, limit: int) -> None:
    """Write what the words of the surest mistakes contributed, for the split that the page shows first."""
    found = read_run(folder)
    records = [record for record in found.predictions if record["split"] == found.splits[0]]
    worst = worst_records(records, found.threshold, limit)
    explained = explain(model, prepared.tokenizer, prepared.schema, prepared.recipe.data.max_length, worst)
    write_attributions(folder / "attributions.jsonl", explained)
