"""report.html: one self-contained page about a run, for people."""

from pathlib import Path
from typing import Any

from ft_toolkit.files import write_file
from ft_toolkit.report import facts
from ft_toolkit.report.facts import RunFiles, count, number, words
from ft_toolkit.report.mistakes import find_mistakes
from ft_toolkit.report.svg import Dot, Series, heat_grid, interval_chart, line_chart, span_of

# With more labels than this a confusion matrix is shown as a grid without names and a list of its largest entries.
_READABLE_LABELS = 20
_TOP_CONFUSIONS = 15

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


def write_page(run_folder: Path) -> None:
    """Write report.html into a finished run folder from the other files there."""
    run = facts.read_run(run_folder)
    page = facts.template("report.html.j2", autoescape=True).render(
        run=run,
        results=run.results,
        summary=_summary(run),
        training=_training(run),
        splits=[_split(run, name) for name in run.splits],
        data=_data(run),
        cost=_cost(run),
        environment=_environment(run),
        command=run.results["command"],
    )
    write_file(run_folder / "report.html", page)


def _summary(run: RunFiles) -> dict[str, Any]:
    results, data = run.results, run.results["data"]
    rows = data["splits"]["train"]["rows"]
    cards = _score_cards(run)
    source = data.get("title") or data.get("card")
    return {
        "scores": cards,
        "lead": {
            "model": results["model"],
            "method": run.trained_share(),
            "rows": count(rows),
            "source": f" of {source}" if source else "",
            "steps": count(results["training"]["steps"]),
        },
        "marked": any(card["marked"] for card in cards),
        "reference": facts.reference_line(run),
        "proof": facts.proof_line(run),
        "choice": facts.choice_line(run),
        "substitutions": results.get("substitutions", []),
        "warnings": data.get("warnings", []),
    }


def _score_cards(run: RunFiles) -> list[dict[str, Any]]:
    """Return the headline of each split; all charts share one axis, so that splits can be compared by eye."""
    results, metric = run.results, run.results["main_metric"]
    reference = results.get("reference")
    if reference is not None and reference["metric"] != metric:
        reference = None
    dots = {split: _dots(run, split) for split in run.splits}
    values = [v for some in dots.values() for dot in some for v in (dot.value, dot.low, dot.high)]
    span = span_of([*values, reference["value"] if reference else None])
    cards = []
    for split in run.splits:
        shown = reference is not None and reference["split"] == split
        n = count(results["scores"][split]["n"])
        chart = interval_chart(
            dots[split],
            span,
            label=f"{words(metric)} on {split}: " + "; ".join(f"{dot.name} {dot.text}" for dot in dots[split]),
            reference=(reference["value"], f"reference {number(reference['value'])}") if reference and shown else None,
        )
        score = run.main_score(split)
        cards.append(
            {
                "split": split,
                "n": n,
                "score": score,
                "chart": chart,
                "verdicts": facts.verdicts(run, split),
                "marked": shown,
            }
        )
    return cards


def _dots(run: RunFiles, split: str) -> list[Dot]:
    metric = run.results["main_metric"]
    scores = {"this model": run.main_score(split)}
    scores |= {name: found[metric] for name, found in run.results["scores"][split].get("baselines", {}).items()}
    return [
        Dot(name, score["value"], score["low"], score["high"], _with_interval(score), strong=name == "this model")
        for name, score in scores.items()
    ]


def _with_interval(score: dict[str, float | None]) -> str:
    if score["value"] is None:
        return "undefined"
    shown = number(score["value"])
    return shown if score["low"] is None else f"{shown} ({facts.interval(score)})"


def _training(run: RunFiles) -> dict[str, Any] | None:
    """Return the curves; None where nothing was recorded."""
    metric, best = run.results["main_metric"], run.results["training"].get("best_step")
    evaluations = run.results["training"]["evaluations"]
    # A resumed run may have logged a step twice; the last record is the one that led on.
    logged = {record["step"]: record for record in run.records if "loss" in record}
    losses = [(step, logged[step]["loss"]) for step in sorted(logged)]
    rates = [(step, logged[step].get("learning_rate")) for step in sorted(logged)]
    validation = [(record["step"], record.get("validation_loss")) for record in evaluations]
    scores = [(record["step"], record.get(f"validation_{metric}")) for record in evaluations]
    steps = [step for step, _ in [*losses, *validation]]
    if not steps:
        return None
    span = (0.0, float(max(*steps, 1)))
    mark = (float(best), f"best, step {best:,}") if best is not None else None
    said = _course(validation, "validation loss")
    series = [Series("training loss", losses, "plain"), Series("validation loss", validation, "strong")]
    return {
        "loss": line_chart(series, span, label=f"Loss over {span[1]:g} steps. {said}", height=220, mark=mark),
        "score": line_chart(
            [Series(f"validation {words(metric)}", scores, "strong")],
            span,
            label=f"{_course(scores, f'validation {words(metric)}')}",
            height=180,
            mark=mark,
        ),
        "rate": line_chart(
            [Series("learning rate", rates, "plain")], span, label=_course(rates, "learning rate"), height=64
        )
        if any(rate is not None for _, rate in rates)
        else None,
        "best": best,
        "stopped_early": run.results["training"]["steps"] < run.results["training"].get("planned_steps", 0),
    }


def _course(points: list[tuple[float, float | None]], name: str) -> str:
    """Say a curve in words, for those who do not see it."""
    known = [(step, value) for step, value in points if value is not None]
    if not known:
        return f"{name}: nothing recorded."
    first, last = known[0], known[-1]
    return f"{name}: {first[1]:.4g} at step {first[0]:,}, {last[1]:.4g} at step {last[0]:,}."


def _split(run: RunFiles, name: str) -> dict[str, Any]:
    """Return the tables of one split."""
    scores, labels = run.results["scores"][name], run.results["labels"]
    table = scores.get("per_class", [])
    sort = len(table) > _READABLE_LABELS
    predictions = [row for row in run.predictions if row["split"] == name]
    return {
        "name": name,
        "n": scores["n"],
        "metrics": scores["metrics"],
        "baselines": scores.get("baselines", {}),
        "per_class": sorted(table, key=lambda row: float(row["f1"])) if sort else table,
        "weakest_first": sort,
        "confusion": _confusion(scores["confusion_matrix"], labels) if scores.get("confusion_matrix") else None,
        "mistakes": find_mistakes(predictions, float(run.contract.get("schema", {}).get("threshold", 0.5))),
    }


def _confusion(matrix: list[list[int]], labels: list[str]) -> dict[str, Any]:
    """Return a table with shades, or for many labels a grid and the largest confusions."""
    totals = [sum(row) for row in matrix]
    if len(labels) <= _READABLE_LABELS:
        cells = [
            [(value, value / total if total else 0.0) for value in row]
            for row, total in zip(matrix, totals, strict=True)
        ]
        return {"labels": labels, "rows": list(zip(labels, cells, strict=True)), "grid": None}
    pairs = [(row[j], i, j) for i, row in enumerate(matrix) for j in range(len(labels)) if i != j and row[j]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    top = [(labels[i], labels[j], value, value / totals[i]) for value, i, j in pairs[:_TOP_CONFUSIONS]]
    said = f"Confusion matrix of {len(labels)} labels: {len(pairs)} pairs of labels were confused."
    return {"grid": heat_grid(matrix, labels, label=said), "top": top, "n_pairs": len(pairs), "n_labels": len(labels)}


def _data(run: RunFiles) -> dict[str, Any]:
    data = run.results["data"]
    splits = data["splits"]
    return {
        "splits": list(splits),
        "rows": [
            (title, [count(one.get(key)) for one in splits.values()])
            for key, title in _DATA_ROWS.items()
            if any(key in one for one in splits.values())
        ],
        "facts": _known(
            {
                "Data set": data.get("title") or data.get("card"),
                "Hub": data.get("hub"),
                "Commit": data.get("commit"),
                "Licence": data.get("licence") or "not known to this run",
                "Fingerprint": data.get("fingerprint"),
                "Length limit": _max_length(run),
                **{f"{name} rows from": origin for name, origin in data.get("origin", {}).items()},
            }
        ),
    }


def _max_length(run: RunFiles) -> str | None:
    length = run.recipe.get("data", {}).get("max_length")
    return None if length is None else f"{count(length)} tokens; the rest of a text is cut off"


def _cost(run: RunFiles) -> list[tuple[str, str]]:
    training, proof = run.results["training"], run.results.get("reload_proof") or {}
    planned = training.get("planned_steps")
    share = training.get("padding_share")
    speed = training.get("tokens_per_second")
    memory = training.get("peak_memory_mib")
    return _known(
        {
            "Training, evaluation included": _seconds(training.get("seconds")),
            "Of that, optimizer steps": _seconds(training.get("step_seconds")),
            "Proof of the saved model": _seconds(proof.get("seconds")),
            "Optimizer steps": f"{count(training['steps'])} of {count(planned)} planned"
            if planned
            else count(training["steps"]),
            "Batch": training.get("batch"),
            "Speed": f"{count(speed)} tokens per second" if speed is not None else None,
            "Padding": f"{share:.1%} of the tokens computed" if share is not None else None,
            "Peak memory of the process": f"{count(memory)} MiB" if memory else None,
        }
    )


def _seconds(value: float | None) -> str | None:
    if value is None:
        return None
    if value < 120:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _environment(run: RunFiles) -> dict[str, Any]:
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
