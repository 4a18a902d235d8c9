"""The run that is exported: its folder, its model, and the reasons why it cannot be exported in a format."""

from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.export_records import ExportFormat
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, INFERENCE, MODEL
from ft_toolkit.core.run_records import InferenceContract, RunResults, SeedsResults, read_contract, read_results
from ft_toolkit.models.config_files import saved_pooling
from ft_toolkit.recipe.saved_task import SavedTask, load_saved_task
from ft_toolkit.tasks.base import Task


@dataclass(frozen=True)
class Source:
    """A finished run that can be exported. `folder` is the folder of a single run."""

    folder: Path
    results: RunResults
    contract: InferenceContract
    saved: SavedTask

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.folder / MODEL

    @property
    def is_adapter(self) -> bool:
        """Whether the model folder holds an adapter."""
        return (self.model / ADAPTER_CONFIG).is_file()


def find_source(run: Path, export_format: ExportFormat) -> Source:
    """Return the run in a folder; for a multi-seed run, the run of its best seed. No torch.

    Raises UsageError for another folder, and for a run that cannot be exported in this format.
    """
    results = read_results(run)
    folder = run
    if isinstance(results, SeedsResults):
        folder = run / results.best.folder
        results = read_results(folder)
    if not isinstance(results, RunResults):
        kind = results.kind
        reason = (
            "the members of an ensemble are separate models; export one of them, or fine-tune one model"
            if kind == "ensemble"
            else "the folder of a finished run is required"
        )
        raise UsageError(f"{run}: a folder of kind '{kind}' cannot be exported: {reason}")
    if results.is_smoke:
        raise UsageError(
            f"{run}: a smoke run, whose model was trained for a few steps on other rows; nothing to export"
        )
    if not (folder / MODEL / INFERENCE).is_file():
        raise UsageError(f"{folder}: no model; a finished run folder of 'ftk run' is required")
    contract = read_contract(folder / MODEL)
    saved = load_saved_task(folder / MODEL / INFERENCE, contract.task, contract.settings, contract.task_schema)
    source = Source(folder, results, contract, saved)
    if (refusal := refusal_of(source, export_format)) is not None:
        raise UsageError(f"{run} cannot be exported with --format {export_format}: {refusal}")
    return source


def refusal_of(source: Source, export_format: ExportFormat) -> str | None:
    """Return the reason why a run cannot be exported in a format, and what to do; None if nothing is known against it."""
    if export_format == "transformers":
        pooling = saved_pooling(source.model)
        if pooling is None:
            return None
        return (
            f"the head reads a pooled vector (model.pooling={pooling}) that transformers does not compute. Use --format onnx, "
            "whose graph contains the pooling"
        )
    return graph_refusal(source.saved.task)


def graph_refusal(task: Task) -> str | None:
    """Return the reason why models of a task cannot be exported as a graph; None if they can."""
    if task.graph is not None or task.exported_texts is not None or task.scored_tokens is not None:
        return None
    return "the task does not say how an exported model predicts. Use --format transformers"
