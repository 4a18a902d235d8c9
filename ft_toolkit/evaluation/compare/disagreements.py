"""The examples on which a run and the base disagree."""

from dataclasses import dataclass

import numpy as np

from ft_toolkit.evaluation.compare.finished_runs import FinishedRun

# Half of these are the largest gains of a run over the base, half its largest losses.
EXAMPLES_SHOWN = 20


@dataclass(frozen=True)
class Disagreement:
    """How a run and the base differ example by example, measured by `metric` on each.

    `better` and `worse` count the examples where the value of the run is the better or the worse one; `both` and `neither`
    count the examples that both or neither have right, None where the metric has values between right and wrong.
    `examples` holds (position, value of the base, value of the run): first the largest gains of the run, then its losses.
    """

    metric: str
    better: int
    worse: int
    both: int | None
    neither: int | None
    examples: list[tuple[int, float, float]]


def find_disagreements(base: FinishedRun, run: FinishedRun, metric: str) -> Disagreement:
    """Compare two runs example by example."""
    metric = _metric_per_example(base, run, metric)
    sign = 1 if base.examples.metrics[metric].greater_is_better else -1
    base_values, run_values = base.per_example[metric], run.per_example[metric]
    gain = np.nan_to_num(sign * (run_values - base_values), nan=0.0)
    # Equal gains are ordered by the confidence of the run that is wrong.
    confidence = [_confidence(base if gain[i] > 0 else run, i) for i in range(len(gain))]
    order = sorted(range(len(gain)), key=lambda i: (-abs(gain[i]), -confidence[i], i))
    half = EXAMPLES_SHOWN // 2
    gains, losses = [i for i in order if gain[i] > 0][:half], [i for i in order if gain[i] < 0][:half]
    base_correct, run_correct = base.correct_examples(metric), run.correct_examples(metric)
    both = neither = None
    if base_correct is not None and run_correct is not None:
        both, neither = int((base_correct & run_correct).sum()), int((~base_correct & ~run_correct).sum())
    examples = [(i, float(base_values[i]), float(run_values[i])) for i in [*gains, *losses]]
    return Disagreement(metric, int((gain > 0).sum()), int((gain < 0).sum()), both, neither, examples)


def _metric_per_example(base: FinishedRun, run: FinishedRun, metric: str) -> str:
    """Return the task's metric for examples, else the first metric that has a value on a single example."""
    names = [name for name in base.per_example if name in run.per_example]
    candidates = [base.examples.task.example_metric, metric, *names]
    return next(name for name in candidates if name in names and not np.isnan(base.per_example[name]).all())


def _confidence(run: FinishedRun, position: int) -> float:
    return run.examples.task.confidence(run.examples.records[position])
