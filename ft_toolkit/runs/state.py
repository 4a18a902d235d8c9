"""The state of a run that a checkpoint keeps besides weights and optimizer state."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from ft_toolkit.training.contrastive import ContrastiveStage
from ft_toolkit.training.head_probe import HeadProbe
from ft_toolkit.training.loop import Progress


@dataclass(frozen=True)
class BestEvaluation:
    """The step with the best validation score so far; the score is None if it was not finite."""

    score: float | None
    step: int


@dataclass
class RunState:
    """The progress of a run, and its evaluations so far.

    started             `time.perf_counter()` at the start of this command
    earlier_seconds     duration of the earlier, interrupted commands of this run
    bad_evaluations     evaluations since the best one, for early stopping
    evaluations         a record per evaluation: step, epoch, scores and seconds
    head_probe          the linear probe that initialized a new head
    contrastive         the stage on pairs of rows before the head; None for a run without it
    right_counts        for a selection by a share of right examples: the evaluations at which each validation row was right
    """

    started: float
    progress: Progress = field(default_factory=Progress)
    best: BestEvaluation | None = None
    bad_evaluations: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    earlier_seconds: float = 0.0
    head_probe: HeadProbe | None = None
    contrastive: ContrastiveStage | None = None
    right_counts: list[int] | None = None

    @property
    def seconds(self) -> float:
        """The duration of the run so far, with the commands before an interruption."""
        return self.earlier_seconds + time.perf_counter() - self.started

    @property
    def has_begun(self) -> bool:
        """Whether the training after the contrastive one has begun."""
        return self.progress.step > 0 or bool(self.evaluations)

    @property
    def is_evaluated(self) -> bool:
        """Whether the last evaluation was made after the last step."""
        return bool(self.evaluations) and self.evaluations[-1]["step"] == self.progress.step

    def loss_at(self, step: int) -> float | None:
        """Return the validation loss of the evaluation after a step; None if it was not finite."""
        losses: list[float | None] = [
            record["validation_loss"] for record in self.evaluations if record["step"] == step
        ]
        return losses[-1] if losses else None

    def is_out_of_patience(self, patience: int | None) -> bool:
        """Return whether early stopping ends the run after `patience` evaluations without an improvement; None: never."""
        return patience is not None and self.bad_evaluations >= patience

    def to_json(self) -> dict[str, Any]:
        """Return the state under the keys of a checkpoint's state.json."""
        return {
            # checkpoints of earlier versions have no number of tokens
            "progress": {key: value for key, value in asdict(self.progress).items() if key != "n_tokens" or value},
            "history": {
                "best": None if self.best is None else asdict(self.best),
                "bad_evaluations": self.bad_evaluations,
                "evaluations": self.evaluations,
                "earlier_seconds": self.seconds,
                "head_start": None if self.head_probe is None else asdict(self.head_probe),
                **({} if self.contrastive is None else {"contrastive": asdict(self.contrastive)}),
                **({} if self.right_counts is None else {"right_counts": self.right_counts}),
            },
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any], started: float) -> "RunState":
        """Return the state that `to_json` wrote."""
        history = saved["history"]
        return cls(
            started,
            progress=Progress(**saved["progress"]),
            best=None if history["best"] is None else BestEvaluation(**history["best"]),
            bad_evaluations=history["bad_evaluations"],
            evaluations=history["evaluations"],
            earlier_seconds=history["earlier_seconds"],
            head_probe=None if history["head_start"] is None else HeadProbe(**history["head_start"]),
            contrastive=None if "contrastive" not in history else ContrastiveStage(**history["contrastive"]),
            right_counts=history.get("right_counts"),  # checkpoints of earlier versions do not have them
        )
