"""What the loop needs besides the model, from a prepared run."""

from functools import partial

from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.loop import TrainingPlan
from ft_toolkit.training.optimizer import lr_at
from ft_toolkit.training.prepare import Prepared
from ft_toolkit.training.speedups.predicted_positions import read_positions


def training_plan(prepared: Prepared, *, total_steps: int, world_size: int) -> TrainingPlan:
    """Return the recipe's training, with a schedule that ends after `total_steps`."""
    training, task, schema = prepared.recipe.training, prepared.task, prepared.schema
    features = prepared.features["train"]
    return TrainingPlan(
        epoch_batches=partial(prepared.epoch_batches, world_size=world_size),
        total_steps=total_steps,
        lr_at=partial(
            lr_at,
            total_steps=total_steps,
            peak=training.learning_rate,
            warmup_ratio=training.warmup_ratio,
            schedule=training.lr_scheduler_type,
        ),
        collate=make_collate(features, task, schema, prepared.tokenizer.pad_token_id, training.seed),
        example_ids=features.example_ids,
        loss_sum=lambda outputs, batch: task.loss_sum(outputs, batch, schema),
        count_targets=lambda batch: task.count_targets(batch, schema),
        read_positions=lambda batch: read_positions(task, batch, schema),
        max_grad_norm=training.max_grad_norm,
        seed=training.seed,
    )
