"""Evaluate the model on the validation rows during training, and keep the best weights."""

import time
from dataclasses import dataclass
from typing import Any

from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.evaluation.statistics.scores import finite, point_scores
from ft_toolkit.evaluation.statistics.selection_bias import add_right
from ft_toolkit.evaluation.statistics.shares import right_examples
from ft_toolkit.runs.checkpoints import Checkpoints
from ft_toolkit.runs.context import RunContext
from ft_toolkit.runs.state import BestEvaluation, RunState
from ft_toolkit.training.trained_model import TrainedModel


@dataclass(frozen=True)
class Evaluation:
    """The validation scores after a training step, by metric name; `loss` is always present.

    `is_best` says that the selection metric is better than at every evaluation before, or the loss while that metric is 0 or
    undefined.
    """

    step: int
    epoch: int
    scores: dict[str, float]
    is_best: bool

    def record(self) -> dict[str, Any]:
        """Return the record for metrics.jsonl; scores that are not finite become None."""
        scores = {f"validation_{name}": finite(score) for name, score in self.scores.items()}
        return {"step": self.step, "epoch": self.epoch, **scores}


class Evaluator:
    """Evaluate the model on the validation rows and track the best evaluation in the state of the run."""

    def __init__(self, context: RunContext, trained: TrainedModel, state: RunState, checkpoints: Checkpoints) -> None:
        self._prepared, self._trained = context.prepared, trained
        self.state, self._checkpoints = state, checkpoints
        self._predictor = make_predictor(context, trained)
        # The model's outputs for the validation features at the last evaluation, except for a task that generates text.
        self.outputs: dict[SplitName, list[Any]] = {}

    def evaluate(self) -> Evaluation:
        """Score the validation rows, and save the weights if they are the best so far. All processes must call it."""
        state, started = self.state, time.perf_counter()
        with self._trained.gathered():
            scores = self._score()
            seconds = round(time.perf_counter() - started, 2)
            score = finite(scores[self._prepared.selection])
            is_best = state.best is None or self._is_better(score, scores["loss"], state.best)
            if is_best:
                self._checkpoints.save_best(state.progress.step)
        if is_best:
            state.best, state.bad_evaluations = BestEvaluation(score, state.progress.step), 0
        else:
            state.bad_evaluations += 1
        evaluation = Evaluation(state.progress.step, state.progress.epoch, scores, is_best)
        state.evaluations.append({**evaluation.record(), "seconds": seconds})
        return evaluation

    def _score(self) -> dict[str, float]:
        """Return the loss and, unless the loss alone selects the checkpoint of a task that only generates, the metrics.

        Metrics of generated texts are undefined if a metric that needs no generated texts selects the checkpoint.
        """
        prepared = self._prepared
        rows, features = prepared.data.splits["validation"], prepared.features["validation"]
        only_loss, generates = prepared.selection == "loss", prepared.task.generate is not None
        skips = only_loss or prepared.metrics[prepared.selection].needs_no_generation
        outputs, loss = self._predictor.predict(features, loss_only=skips)
        self.outputs = {} if generates else {"validation": outputs}
        if only_loss and generates and prepared.task.predict is None:
            return {"loss": loss}
        decoded = prepared.task.decode(outputs, features, rows, prepared.schema)
        predictions, references = prepared.task.to_arrays(decoded, rows, prepared.schema)
        if not only_loss and (self.state.right_counts is not None or not self.state.evaluations):
            right = right_examples(prepared.metrics[prepared.selection], predictions, references)
            self.state.right_counts = None if right is None else add_right(self.state.right_counts, right)
        return {"loss": loss, **point_scores(predictions, references, prepared.metrics)}

    def _is_better(self, score: float | None, loss: float, best: BestEvaluation) -> bool:
        """Return whether an evaluation is better than the best one so far.

        None (not finite) is worse than any number. The loss decides between equal scores, which are frequent with few rows;
        otherwise the first of them would always be the best one.
        """
        name = self._prepared.selection
        greater_is_better = name != "loss" and self._prepared.metrics[name].greater_is_better
        if score == best.score:
            best_loss = self.state.loss_at(best.step)
            return finite(loss) is not None and (best_loss is None or loss < best_loss)
        if score is None or best.score is None:
            return score is not None
        return score > best.score if greater_is_better else score < best.score


def make_predictor(context: RunContext, trained: TrainedModel) -> Predictor:
    """Return a predictor for the model of a run."""
    prepared = context.prepared
    return Predictor(
        context.accelerator,
        trained.plain,
        prepared.task,
        prepared.schema,
        prepared.tokenizer,
        prepared.evaluation_tokens(),
    )
