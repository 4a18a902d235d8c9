"""The loss of the best constant prediction, such as the shares of the classes. A useful model has a lower loss."""

import numpy as np
import torch

from ft_toolkit.recipe.checks import PROBED_CLASSES
from ft_toolkit.tasks.text.token_targets import IGNORED
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.linear_fit import FeatureTable, TaskLoss
from ft_toolkit.training.prepare import Prepared

# Maximum number of features, sampled with the seed.
_MAX_FEATURES = 2048
_PER_TOKEN = "AutoModelForTokenClassification"


def constant_loss(prepared: Prepared) -> float | None:
    """Return the mean training loss of the best logits that do not depend on the input.

    It is the entropy of the class shares for one label per row, and the variance for numbers; class weights, focal loss and
    label smoothing are part of the loss. None for a task without a head for classes or numbers.
    """
    task, schema, features = prepared.task, prepared.schema, prepared.training_features
    if not PROBED_CLASSES & set(task.auto_class.values()):
        return None
    rng = np.random.default_rng(prepared.recipe.training.seed)
    ids = rng.permutation(len(features.targets))[:_MAX_FEATURES].tolist()
    targets = make_collate(features, task, schema, prepared.tokenizer.pad_token_id)(ids).targets
    if _PER_TOKEN in task.auto_class.values():
        targets = targets[targets != IGNORED]
    if not len(targets):
        return None
    table = FeatureTable(torch.zeros(len(targets), 0), targets, torch.arange(len(targets)))
    loss = TaskLoss(task, schema).constant(table, task.model_kwargs(schema)["num_labels"])
    return loss if np.isfinite(loss) else None
