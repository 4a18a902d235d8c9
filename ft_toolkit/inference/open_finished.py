"""Open a finished model for the command line: an export without torch, anything else with torch."""

from ft_toolkit.core.errors import UsageError
from ft_toolkit.runtime.exported_model import ExportedModel, is_exported_graph
from ft_toolkit.runtime.finished_model import FinishedModel


def open_finished(model: str, base: str | None) -> FinishedModel:
    """Load a model. `base` is the folder of an adapter's base model, if it was moved. Raises UsageError."""
    if is_exported_graph(model):
        if base is not None:
            raise UsageError(f"{model} is an exported model, which has no base model; remove --base")
        return ExportedModel(model)
    from ft_toolkit.inference.model_folder import open_model  # imports torch, so only after the input is checked

    return open_model(model, base)
