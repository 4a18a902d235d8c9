"""Time, steps, speed and memory."""

from ft_toolkit.core.run_records import EvaluationCost, RunResults
from ft_toolkit.report.numbers import count, seconds
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section


def _build(run: RunFiles) -> list[tuple[str, str]]:
    results = run.results
    facts = _run_facts(results) if isinstance(results, RunResults) else _evaluation_facts(results.evaluation)
    return [(name, value) for name, value in facts.items() if value is not None]


def _run_facts(results: RunResults) -> dict[str, str | None]:
    training, check = results.training, results.reload_proof
    steps, padding, speed = count(training.steps), training.padding_share, training.tokens_per_second
    return {
        "Training with evaluations": seconds(training.seconds),
        "Optimizer steps alone": seconds(training.step_seconds),
        "Reload check": None if check is None else seconds(check.seconds),
        "Optimizer steps": f"{steps} of {count(training.planned_steps)} planned" if training.planned_steps else steps,
        "Skipped steps": count(training.skipped_steps) if training.skipped_steps else None,
        "Batch": training.batch,
        "Speed": None if speed is None else f"{count(speed)} tokens per second",
        "Padding": None if padding is None else f"{padding:.1%} of all computed tokens",
        "Peak memory of the process": _memory(training.peak_memory_mib),
    }


def _evaluation_facts(evaluation: EvaluationCost) -> dict[str, str | None]:
    speed = evaluation.rows_per_second
    return {
        "Evaluation": seconds(evaluation.seconds),
        "Rows": None if speed is None else f"{speed:,.1f} per second",
        "Peak memory of the process": _memory(evaluation.peak_memory_mib),
    }


def _memory(mebibytes: int | None) -> str | None:
    return f"{count(mebibytes)} MiB" if mebibytes else None


SECTION = Section(order=90, title="Cost", build=_build)
