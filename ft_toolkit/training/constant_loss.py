"""The loss of the best constant prediction, such as the shares of the classes: what a model has to be better than."""

from types import SimpleNamespace

import numpy as np
import torch

from ft_toolkit.recipe.checks import PROBED_CLASSES
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.prepare import Prepared

# Features that are read, sampled with the seed.
_MAX_FEATURES = 2048
_ITERATIONS = 50
_PER_TOKEN = "AutoModelForTokenClassification"


def constant_loss(prepared: Prepared) -> float | None:
    """Return the mean training loss of the best logits that do not depend on the input.

    It is the entropy of the class shares for one label per row, and the variance for numbers; class weights, focal loss and
    label smoothing are part of the loss. None for a task without a head for classes or numbers.
    """
    task, schema, features = prepared.task, prepared.schema, prepared.features["train"]
    if not PROBED_CLASSES & set(task.auto_class.values()):
        return None
    rng = np.random.default_rng(prepared.recipe.training.seed)
    ids = rng.permutation(len(features.targets))[:_MAX_FEATURES].tolist()
    batch = make_collate(features, task, schema, prepared.tokenizer.pad_token_id)(ids)
    n_outputs = task.model_kwargs(schema)["num_labels"]
    shape = batch.targets.shape if _PER_TOKEN in task.auto_class.values() else batch.targets.shape[:1]
    logits = torch.zeros(n_outputs, requires_grad=True)
    n_targets = task.count_targets(batch, schema)
    optimizer: torch.optim.Optimizer = torch.optim.LBFGS([logits], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")
    losses: list[float] = []

    def closure() -> float:
        outputs = SimpleNamespace(logits=logits.expand(*shape, n_outputs))
        loss = task.loss_sum(outputs, batch, schema) / n_targets
        (logits.grad,) = torch.autograd.grad(loss, [logits])
        losses.append(float(loss.detach()))
        return losses[-1]

    optimizer.step(closure)
    lowest = min(losses)
    return lowest if n_targets and np.isfinite(lowest) else None
