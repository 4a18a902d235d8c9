"""report.html: one self-contained page about a run."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_records import EvaluationResults, RunResults
from ft_toolkit.report.numbers import count, number
from ft_toolkit.report.run_files import RunFiles, read_run
from ft_toolkit.report.section import find_sections
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name, suggestions, trainable_share, training_verb, verdict


def write_page(run_folder: Path, results: RunResults | EvaluationResults | None = None) -> None:
    """Write report.html into the folder of a run or evaluation, from the other files there.

    `results` is the content of results.json, if that file is not written yet.
    """
    run = read_run(run_folder, results)
    results, first = run.results, run.splits[0]
    score = number(run.main_score(first).value, results.scores[first].n)
    page = load_template("report.html.j2", autoescape=True).render(
        results=results,
        title=f"{results.name}: {plain_name(results.main_metric)} {score}",
        verdict=verdict(results, first, run.metrics),
        suggestions=suggestions(results),
        summary=_summary(run),
        substitutions=results.substitutions,
        sections=_sections(run),
    )
    write_file(run_folder / "report.html", page)


def _sections(run: RunFiles) -> list[dict[str, Any]]:
    """Return the sections that have content, rendered."""
    rendered = []
    for name, section in find_sections().items():
        content = section.build(run)
        if content:
            html = load_template(f"{name}.html.j2", autoescape=True).render(
                content=content, run=run, results=run.results
            )
            rendered.append({"anchor": name.replace("_", "-"), "title": section.title, "html": Markup(html)})
    return rendered


def _summary(run: RunFiles) -> str:
    """Return one sentence: the model, and the rows that it was trained or evaluated on."""
    results, data = run.results, run.results.data
    name = data.title or data.card
    source = f" of {name}" if name else ""
    if not isinstance(results, RunResults):
        rows = ", ".join(f"{count(results.scores[split].n)} {split}" for split in run.splits)
        return f"{results.model}, evaluated on {rows} rows{source}."
    rows, steps = count(data.splits["train"].rows), count(results.training.steps)
    verb = training_verb(results.model)
    return f"{results.model}, {verb} on {rows} rows{source} in {steps} steps. Method {trainable_share(results)}."
