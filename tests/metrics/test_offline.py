"""`evaluate.Metric` objects: the same numbers as the functions, and no network."""

import os
import subprocess
import sys

import evaluate
import numpy as np
import pytest

from ft_toolkit.metrics.offline import OfflineMetric, compute
from ft_toolkit.tasks import find_tasks

pytestmark = pytest.mark.trains

TASK = find_tasks()["text_classification"]


def arrays(problem_type, n=57):
    rng = np.random.default_rng(0)
    if problem_type == "regression":
        references = rng.normal(size=n)
        return references + rng.normal(size=n), references
    if problem_type == "multi_label_classification":
        return (rng.random((n, 4)) < 0.4).astype(np.int64), (rng.random((n, 4)) < 0.4).astype(np.int64)
    return rng.integers(0, 2, n), rng.integers(0, 2, n)


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
def test_every_metric_of_the_task_gives_the_same_through_evaluate(problem_type):
    metrics = TASK.metrics(TASK.settings(problem_type=problem_type))
    predictions, references = arrays(problem_type)
    found = compute(metrics, predictions, references)
    assert found == {name: metric.fn(predictions, references) for name, metric in metrics.items()}
    assert all(type(value) is float for value in found.values())


def test_it_is_an_evaluate_metric_with_the_usual_interface():
    metrics = TASK.metrics(TASK.settings())
    predictions, references = arrays("single_label_classification")
    metric = OfflineMetric({"accuracy": metrics["accuracy"]}, references)
    assert isinstance(metric, evaluate.Metric)
    expected = {"accuracy": metrics["accuracy"].fn(predictions, references)}
    assert metric.compute(predictions=predictions.tolist(), references=references.tolist()) == expected
    for start in range(0, len(references), 10):
        metric.add_batch(predictions=predictions[start : start + 10], references=references[start : start + 10])
    assert metric.compute() == expected
    both = evaluate.combine([metric, OfflineMetric({"f1_macro": metrics["f1_macro"]}, references)])
    assert set(both.compute(predictions=predictions, references=references)) == {"accuracy", "f1_macro"}


def test_an_undefined_metric_stays_undefined():
    metrics = TASK.metrics(TASK.settings(problem_type="regression"))
    found = compute(metrics, np.full(5, 0.1), np.arange(5.0))
    assert np.isnan(found["pearson"])
    assert found["mean_absolute_error"] == pytest.approx(1.94)


def test_it_needs_no_network(tmp_path):
    """With an empty cache, the offline switches set, and sockets that raise."""
    code = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np
from ft_toolkit.metrics.offline import compute
from ft_toolkit.tasks import find_tasks
task = find_tasks()["text_classification"]
labels = np.array([0, 1, 1, 0])
print(compute(task.metrics(task.settings()), labels, labels)["accuracy"])
"""
    env = {**os.environ, "HF_EVALUATE_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "1.0"), done.stderr
