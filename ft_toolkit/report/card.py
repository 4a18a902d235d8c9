"""README.md: the model card, with metadata that the Hub reads, in the run folder and beside the model."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ft_toolkit.files import write_file
from ft_toolkit.report import facts
from ft_toolkit.report.background import lost_answers
from ft_toolkit.report.facts import RunFiles
from ft_toolkit.report.usage import usage

# More labels than this are counted in the card, not listed; the model's config.json has them all.
_LISTED_LABELS = 30

# The Hub's ids of metrics that we name otherwise. Averages (f1_macro) are split into id and argument.
_HUB_METRICS = {
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "bleu": "sacrebleu",
}
_ROUGE = re.compile(r"^rouge_?(1|2|l|lsum)$", re.IGNORECASE)
_HUB_ID = re.compile(r"^\w[\w.-]*(/\w[\w.-]*)?$", re.ASCII)
_AVERAGED = re.compile(r"^(?P<metric>f1|precision|recall)_(?P<average>macro|micro|weighted|binary)$")


def write_card(run_folder: Path) -> None:
    """Write README.md into a finished run folder and, where there is one, its model folder."""
    run = facts.read_run(run_folder)
    body = facts.template("model_card.md.j2", autoescape=False, md=escape, code=code).render(
        run=run,
        results=run.results,
        pipeline_tag=pipeline_tag(run),
        hub_model=hub_base_model(run),
        labels=run.results["labels"] if len(run.results["labels"]) <= _LISTED_LABELS else None,
        schema=run.contract.get("schema", {}),
        usage=usage(
            run, pipeline_tag(run), run.contract.get("max_length") or run.recipe.get("data", {}).get("max_length")
        ),
        lost=lost_answers(key for found in run.results["data"]["splits"].values() for key in found),
        lower_is_better=facts.lower_is_better(run),
        verdicts={split: [sentence for _, sentence in facts.verdicts(run, split)] for split in run.splits},
        reference=facts.reference_line(run),
        proof=facts.proof_line(run),
        choice=facts.choice_line(run),
        versions=facts.versions(run),
        fence="`" * max(3, _longest_ticks(run.results["command"]) + 1),
    )
    text = f"---\n{card_data(run).to_yaml()}\n---\n\n{body.strip()}\n"
    for folder in (run_folder, run_folder / "model"):
        if folder.is_dir():
            write_file(folder / "README.md", text)


def card_data(run: RunFiles) -> ModelCardData:
    """Return the card's metadata. What is not known (the model's licence, its language) is left out."""
    results, data = run.results, run.results["data"]
    # a smoke run's numbers mean nothing, so no leaderboard shall read them
    scores = [] if results.get("substitutions") else _eval_results(run)
    return ModelCardData(
        base_model=hub_base_model(run),
        datasets=[data["hub"]] if data.get("hub") else None,
        library_name="peft" if run.is_adapter else "transformers",
        pipeline_tag=pipeline_tag(run),
        tags=["ft_toolkit", *([results["method"]] if results["method"] != "full" else [])],
        metrics=[_hub_metric(results["main_metric"])[0]],
        model_name=results["name"] if scores else None,
        eval_results=scores or None,
    )


def pipeline_tag(run: RunFiles) -> str:
    """Return the Hub's name of the task; for language models it depends on what they were trained to do."""
    if run.contract.get("schema", {}).get("objective") == "masked":
        return "fill-mask"
    return str(run.results.get("pipeline_tag") or run.results["task"].replace("_", "-"))


def hub_base_model(run: RunFiles) -> str | None:
    """Return the base model's Hub id; None where it is a folder or comes from a Python package."""
    name = str(run.results["model"])
    source = run.environment.get("model", {})
    # A folder may be called as a Hub id is; only what came from the Hub has a commit.
    if source.get("name") == name and "commit" in source and source["commit"] is None:
        return None
    return name if _HUB_ID.match(name) and not Path(name).exists() else None


def _eval_results(run: RunFiles) -> list[EvalResult]:
    data = run.results["data"]
    found: list[EvalResult] = []
    for split in run.splits:
        for name, score in run.results["scores"][split]["metrics"].items():
            if score["value"] is None:
                continue
            metric, arguments = _hub_metric(name)
            found.append(
                EvalResult(
                    task_type=pipeline_tag(run),
                    dataset_type=data.get("hub") or data.get("card") or "local-files",
                    dataset_name=data.get("title") or data.get("card") or "local files",
                    dataset_split=split,
                    dataset_revision=data.get("commit"),
                    metric_type=metric,
                    metric_name=name,
                    metric_value=score["value"],
                    metric_args=arguments,
                )
            )
    return found


def _hub_metric(name: str) -> tuple[str, dict[str, Any] | None]:
    """Return the Hub's id of a metric, and the arguments that make it ours."""
    if _ROUGE.match(name):
        return "rouge", None
    if match := _AVERAGED.match(name):
        return match["metric"], {"average": match["average"]}
    return _HUB_METRICS.get(name, name), None


def escape(text: Any) -> str:
    """Return a text from data as plain words in Markdown: no markup, no HTML, no line break, no table cell's end."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def code(text: Any) -> str:
    """Return a text as inline code, whatever backticks it holds."""
    line = " ".join(str(text).split())
    ticks = "`" * (_longest_ticks(line) + 1)
    room = " " if "`" in line else ""
    return f"{ticks}{room}{line}{room}{ticks}"


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
