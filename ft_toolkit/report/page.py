"""report.html: one self-contained page about a run, for people."""

from pathlib import Path
from typing import Any

from ft_toolkit.core.files import write_file
from ft_toolkit.report import run_files as facts
from ft_toolkit.report.charts import Dot, Series, interval_chart, line_chart, span_of
from ft_toolkit.report.run_files import RunFiles, count, number, words
from ft_toolkit.report.sections import background, tables, trust
from ft_toolkit.report.sections.shading import shade
from ft_toolkit.report.wrong_examples import find_wrong_examples, move_columns_to_remark


def write_page(run_folder: Path) -> None:
    """Write report.html into a finished run folder from the other files there."""
    run = facts.read_run(run_folder)
    page = facts.template("report.html.j2", autoescape=True).render(
        run=run,
        results=run.results,
        summary=_summary(run),
        training=_training(run),
        splits=[_split(run, name) for name in run.splits],
        lower_is_better=facts.lower_is_better(run),
        data=background.data_facts(run),
        cost=background.cost(run),
        environment=background.environment(run),
        command=run.results.get("command", ""),
    )
    write_file(run_folder / "report.html", page)


def _summary(run: RunFiles) -> dict[str, Any]:
    results, data = run.results, run.results.get("data") or {}
    cards = _score_cards(run)
    first = run.splits[0]
    beyond = [trust.abstain_line(run, first), *trust.group_lines(run, first)]
    return {
        "scores": cards,
        "lead": _lead(run),
        "marked": any(card["marked"] for card in cards),
        "reference": facts.reference_line(run),
        "proof": facts.proof_line(run),
        "choice": facts.choice_line(run),
        "beyond": [f"On {first}: {line[0].lower()}{line[1:]}" for line in beyond if line],
        "substitutions": results.get("substitutions", []),
        "warnings": data.get("warnings", []),
    }


def _lead(run: RunFiles) -> dict[str, str]:
    """Return the model's name and what was done with it, in words."""
    results, data = run.results, run.results.get("data") or {}
    source = data.get("title") or data.get("card")
    source = f" of {source}" if source else ""
    if run.is_evaluation:
        rows = ", ".join(f"{count(results['scores'][split]['n'])} {split}" for split in run.splits)
        return {"model": results["model"], "said": f"evaluated on {rows} rows{source}."}
    rows, steps = count(data["splits"]["train"]["rows"]), count(results["training"]["steps"])
    said = f"{facts.verb(results['model'])} on {rows} rows{source} in {steps} steps. Method {run.trained_share()}."
    return {"model": results["model"], "said": said}


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
    scores |= {words(name): found[metric] for name, found in run.results["scores"][split].get("baselines", {}).items()}
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
    if "training" not in run.results:
        return None
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
        )
        if any(score is not None for _, score in scores)
        else None,
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
    scores = run.results["scores"][name]
    predictions = [row for row in run.predictions if row["split"] == name]
    return {
        "name": name,
        "n": scores["n"],
        "metrics": scores["metrics"],
        "baselines": scores.get("baselines", {}),
        "per_class": tables.per_class(run, name),
        "confusion": tables.confusion(run, name),
        "details": tables.other_tables(run, name),
        "detectable": any(one.get("detectable") is not None for one in scores["metrics"].values()),
        "slices": trust.slices(run, name),
        "calibration": trust.calibration(run, name),
        "groups": trust.groups(run, name),
        "robustness": trust.robustness(run, name),
        "wrong_examples": shade(
            move_columns_to_remark(
                find_wrong_examples(run.task, run.schema, predictions), trust.kept_columns(run, name)
            ),
            predictions,
            [one for one in run.attributions if one["split"] == name],
        ),
    }
