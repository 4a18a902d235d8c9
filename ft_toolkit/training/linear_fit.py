"""Fit a linear layer on fixed features by L-BFGS, with the loss of a task.

Features are scaled to variance 1 and, with a bias, to mean 0, so a penalty has the same effect for every checkpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ft_toolkit.tasks.base import Batch, Task

# Lower bound for a feature's standard deviation, as a share of its size (root mean square). Otherwise nearly constant features
# get weights so large that the first steps of training, which shift whole features, change the logits drastically.
MIN_SCALE = 0.1


@dataclass(frozen=True)
class FeatureTable:
    """The inputs of a layer (n, width), their targets (n, ...), and the example of each row (n,)."""

    inputs: Tensor
    targets: Tensor
    examples: Tensor

    def select(self, rows: Tensor) -> "FeatureTable":
        """Return the rows of a 0/1 mask (n,)."""
        return FeatureTable(self.inputs[rows], self.targets[rows], self.examples[rows])


@dataclass(frozen=True)
class Layer:
    """Weight (outputs, width) and bias (outputs,) of a linear layer; the bias may be None."""

    weight: Tensor
    bias: Tensor | None

    def logits(self, inputs: Tensor) -> Tensor:
        """Return (n, outputs)."""
        return torch.nn.functional.linear(inputs, self.weight, self.bias)


@dataclass(frozen=True)
class TaskLoss:
    """The loss of a task for rows of logits."""

    task: Task
    schema: Any

    def sum_and_count(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, float]:
        """Return the sum of the loss over the targets, and the number of targets."""
        batch = Batch({}, targets, (), 0, 0)
        total = self.task.loss_sum(SimpleNamespace(logits=logits), batch, self.schema)
        return total, self.task.count_targets(batch, self.schema)

    def mean(self, layer: Layer, table: FeatureTable) -> float:
        """Return the mean loss of a layer per target."""
        with torch.no_grad():
            total, count = self.sum_and_count(layer.logits(table.inputs), table.targets)
        return float(total) / count

    def constant(self, table: FeatureTable, n_outputs: int) -> float:
        """Return the mean loss of the best constant prediction, such as the class shares, or the mean of numbers."""
        no_inputs = FeatureTable(table.inputs[:, :0], table.targets, table.examples)
        return self.mean(LinearFit(no_inputs, self, n_outputs, with_bias=True).fit(0.0, iterations=50), no_inputs)


class LinearFit:
    """Fits linear layers on one table. Each fit starts from the result of the previous one."""

    def __init__(self, table: FeatureTable, loss: TaskLoss, n_outputs: int, *, with_bias: bool) -> None:
        rows = table.inputs
        self._targets, self._loss = table.targets, loss
        self._mean = rows.mean(0) if with_bias else torch.zeros_like(rows[0])
        scale = torch.maximum((rows - self._mean).square().mean(0).sqrt(), MIN_SCALE * rows.square().mean(0).sqrt())
        if len(scale):
            scale = torch.where(scale > 1e-5 * scale.max(), scale, torch.inf)  # a constant feature gets weight 0
        self._scale = scale
        self._inputs = (rows - self._mean) / scale
        self._count = loss.sum_and_count(rows.new_zeros(len(rows), n_outputs), table.targets)[1]
        self._weight = rows.new_zeros(n_outputs, rows.shape[1]).requires_grad_()
        self._bias = rows.new_zeros(n_outputs).requires_grad_() if with_bias else None

    def fit(self, penalty: float, *, iterations: int) -> Layer:
        """Return the layer that minimizes mean loss + penalty / 2 * sum of squared weights on the scaled features.

        The weights are NaN if the loss is not finite, such as for targets whose squares exceed float32.
        """
        parameters = [self._weight] if self._bias is None else [self._weight, self._bias]
        optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
            parameters,
            max_iter=iterations,
            tolerance_grad=1e-5,
            tolerance_change=1e-7,
            history_size=20,
            line_search_fn="strong_wolfe",
        )
        try:
            optimizer.step(self._closure(parameters, penalty))
        except RuntimeError as error:
            if "without overflow" not in str(error):  # torch's message for a step length that is not a float32
                raise
            for parameter in parameters:
                parameter.data.fill_(torch.nan)
        weight = self._weight.detach() / self._scale
        return Layer(weight, None if self._bias is None else self._bias.detach() - weight @ self._mean)

    def _closure(self, parameters: list[Tensor], penalty: float) -> Callable[[], float]:
        def closure() -> float:
            logits = torch.nn.functional.linear(self._inputs, self._weight, self._bias)
            total, _ = self._loss.sum_and_count(logits, self._targets)
            loss = total / self._count + penalty / 2 * self._weight.square().sum()
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
            return float(loss.detach())

        return closure
