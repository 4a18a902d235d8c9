"""What stands behind a score: facts about the rows, what the run cost, and where it ran."""

from collections.abc import Iterable
from typing import Any

from ft_toolkit.report import run_files as facts
from ft_toolkit.report.run_files import RunFiles, count, words

_DATA_ROWS = {
    "rows": "rows",
    "tokens": "tokens",
    "longest": "longest row, tokens",
    "rows_cut": "rows cut",
    "tokens_cut": "tokens cut off",
    "empty_texts": "empty texts",
    "repeated_texts": "repeated texts",
    "also_in_training": "also in training",
}


def data_rows(splits: dict[str, dict[str, Any]]) -> list[tuple[str, list[int | None]]]:
    """Return (fact, its value per split) for each fact that is known, what truncation costs the answers included."""
    found = dict.fromkeys(key for one in splits.values() for key in one)
    titles: dict[str, str] = {}
    for key, title in _DATA_ROWS.items():
        titles[key] = title
        if key == "tokens_cut":
            titles |= {lost: f"{words(lost.removesuffix('_cut'))} lost by cutting" for lost in lost_answers(found)}
    return [(title, [one.get(key) for one in splits.values()]) for key, title in titles.items() if key in found]


def lost_answers(facts_of_splits: Iterable[str]) -> list[str]:
    """Return the keys that count what of the answers the model cannot see: entities_cut, answers_cut ..."""
    return [key for key in dict.fromkeys(facts_of_splits) if key.endswith("_cut") and key not in _DATA_ROWS]


def data_facts(run: RunFiles) -> dict[str, Any]:
    """Return the table of the rows' facts per split, and where the rows come from."""
    data = run.results.get("data") or {}
    splits = data.get("splits") or {}
    return {
        "splits": list(splits),
        "rows": [(title, list(map(count, values))) for title, values in data_rows(splits)],
        "facts": _known(
            {
                "Data set": data.get("title") or data.get("card"),
                "Hub": data.get("hub"),
                "Commit": data.get("commit"),
                "Licence": data.get("licence") or ("not known to this run" if data else None),
                "Fingerprint": data.get("fingerprint"),
                "Length limit": _max_length(run),
                **{f"{name} rows from": origin for name, origin in data.get("origin", {}).items()},
            }
        ),
    }


def _max_length(run: RunFiles) -> str | None:
    length = run.recipe.get("data", {}).get("max_length")
    if length is None:
        return None
    splits = run.results.get("data", {}).get("splits", {})
    cut = any(one.get("rows_cut") for one in splits.values())
    return f"{count(length)} tokens" + ("; the rest of a longer text is cut off" if cut else "; no text was cut")


def cost(run: RunFiles) -> list[tuple[str, str]]:
    """Return time, steps, speed and memory, as far as they are known."""
    training, proof = run.results.get("training") or {}, run.results.get("reload_proof") or {}
    evaluation = run.results.get("evaluation") or {}
    planned, steps = training.get("planned_steps"), training.get("steps")
    share, speed = training.get("padding_share"), training.get("tokens_per_second")
    memory = training.get("peak_memory_mib") or evaluation.get("peak_memory_mib")
    rows = evaluation.get("rows_per_second")
    done = None if steps is None else count(steps)
    return _known(
        {
            "Evaluation": seconds(evaluation.get("seconds")),
            "Rows": f"{rows:,.1f} per second" if rows is not None else None,
            "Training, evaluation included": seconds(training.get("seconds")),
            "Of that, optimizer steps": seconds(training.get("step_seconds")),
            "Proof of the saved model": seconds(proof.get("seconds")),
            "Optimizer steps": f"{done} of {count(planned)} planned" if planned else done,
            "Batch": training.get("batch"),
            "Speed": f"{count(speed)} tokens per second" if speed is not None else None,
            "Padding": f"{share:.1%} of the tokens computed" if share is not None else None,
            "Peak memory of the process": f"{count(memory)} MiB" if memory else None,
        }
    )


def seconds(value: float | None) -> str | None:
    """Return a duration as text."""
    if value is None:
        return None
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def environment(run: RunFiles) -> dict[str, Any]:
    """Return machine, precision, what exactly was read, and the versions."""
    found, machine = run.environment, run.environment.get("machine", {})
    model = found.get("model", {})
    devices = ", ".join(str(device) for device in found.get("devices", []))
    return {
        "facts": _known(
            {
                "Started": found.get("started"),
                "Device": f"{devices} ({found.get('device')})" if devices else found.get("device"),
                "Processor": machine.get("processor"),
                "Cores": machine.get("cores"),
                "Memory": f"{machine['memory_gib']} GiB" if machine.get("memory_gib") else None,
                "System": machine.get("system"),
                "Python": machine.get("python"),
                "Processes": found.get("processes"),
                "Mixed precision": found.get("mixed_precision"),
                "Model": model.get("name"),
                "Model commit": model.get("commit"),
                "Model sha256": model.get("sha256"),
                "Recipe sha256": found.get("recipe_sha256"),
            }
        ),
        "versions": list(facts.versions(run).items()),
    }


def _known(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in values.items() if value is not None]
