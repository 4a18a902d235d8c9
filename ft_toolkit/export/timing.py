"""Measure the speed of a run and of its export in turns."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from ft_toolkit.core.export_records import Speed, Timing
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.runtime.finished_model import FinishedModel
from ft_toolkit.runtime.session import threads
from ft_toolkit.tasks.base import Row, Rows, without_answers

# Both models are measured in turns, so that other work on the machine slows both.
_ROUNDS, _SINGLE_ROWS, _BATCHES, _BATCH = 3, 40, 4, 32
# Generated texts take seconds.
_GENERATED_ROUNDS, _GENERATED_ROWS, _GENERATED_BATCHES = 2, 4, 1
_WARM_UP = 5


def measure(run: LoadedModel, export: FinishedModel, rows: Rows) -> Timing:
    """Return the latency of single rows and the rows per second in batches of 32 rows, from text to prediction."""
    inputs = [without_answers(row, run.task) for row in rows]
    rounds, n_singles, n_batches = _ROUNDS, _SINGLE_ROWS, _BATCHES
    if run.task.generate is not None:
        rounds, n_singles, n_batches = _GENERATED_ROUNDS, _GENERATED_ROWS, _GENERATED_BATCHES
    singles = _spread(inputs, n_singles)
    batches = [_spread(inputs[start::n_batches] or inputs, _BATCH) for start in range(n_batches)]
    models: dict[str, FinishedModel] = {"run": run, "export": export}
    latencies: dict[str, list[float]] = {name: [] for name in models}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        for row in singles[:_WARM_UP]:
            model.predict_split([row])
    for _ in range(rounds):
        for name, model in models.items():
            latencies[name] += [_time(model.predict_split, [row]) for row in singles]
            seconds[name].append(sum(_time(model.predict_split, batch) for batch in batches))
    speeds = {name: _speed(latencies[name], seconds[name], sum(map(len, batches))) for name in models}
    return Timing(
        rows=len(singles) + sum(map(len, batches)),
        rounds=rounds,
        threads=threads(),
        run=speeds["run"],
        run_precision=run.contract.mixed_precision,
        export=speeds["export"],
    )


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    """Return `count` evenly spaced rows; rows repeat if there are fewer."""
    return [rows[int(i * len(rows) / count)] for i in range(count)]


def _time(predict: Callable[[Rows], object], rows: Rows) -> float:
    started = time.perf_counter()
    predict(rows)
    return time.perf_counter() - started


def _speed(latencies: Sequence[float], seconds: Sequence[float], rows: int) -> Speed:
    p50, p95 = (float(np.quantile(latencies, share)) * 1000 for share in (0.5, 0.95))
    return Speed(p50_ms=round(p50, 3), p95_ms=round(p95, 3), rows_per_second=round(rows / float(np.median(seconds)), 1))
