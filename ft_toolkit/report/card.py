"""README.md: the model card, with metadata that the Hub reads, in the run folder and beside the model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from ft_toolkit.core.files import write_file
from ft_toolkit.core.hub_names import is_hub_id
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.data.cards import load_card
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.recipe.methods import saves_adapter
from ft_toolkit.report import run_files as facts
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.sections import trust
from ft_toolkit.report.sections.background import lost_answers
from ft_toolkit.report.usage import usage

# More labels than this are counted in the card, not listed; the model's config.json has them all.
_LISTED_LABELS = 30


def write_card(run_folder: Path) -> None:
    """Write README.md into a finished run folder and, where there is one, its model folder."""
    text = card_text(facts.read_run(run_folder))
    for folder in (run_folder, run_folder / "model"):
        if folder.is_dir():
            write_file(folder / "README.md", text)


def card_text(run: RunFiles, *, repo: str | None = None, merged: bool = False) -> str:
    """Return the model card: of the folder on this disk, or of the repository `repo`, there perhaps with the adapter merged."""
    tag = pipeline_tag(run)
    limit = run.max_length
    body = facts.template("model_card.md.j2", autoescape=False, md=escape, code=code).render(
        run=run,
        results=run.results,
        repo=repo,
        is_adapter=run.is_adapter and not merged,
        is_merged=run.is_adapter and merged,
        pipeline_tag=tag,
        hub_model=hub_base_model(run),
        labels=run.labels,
        max_listed_labels=_LISTED_LABELS,
        usage=usage(run, limit, model=repo or "MODEL", needs_peft=run.is_adapter and not merged),
        licence=_settings(run).get("license"),
        languages=_languages(run),
        lost=lost_answers(key for found in run.results["data"]["splits"].values() for key in found),
        lower_is_better=facts.lower_is_better(run),
        trust=trust.card_lines(run, run.splits[0]),
        grouped=any(scores.get("groups") for scores in run.results["scores"].values()),
        verdicts={split: [sentence for _, sentence in facts.verdicts(run, split)] for split in run.splits},
        reference=facts.reference_line(run),
        proof=facts.proof_line(run),
        choice=facts.choice_line(run),
        versions=facts.versions(run),
        fence="`" * max(3, _longest_ticks(run.results["command"]) + 1),
    )
    return f"---\n{card_data(run, repo=repo, merged=merged).to_yaml()}\n---\n\n{body.strip()}\n"


def card_data(run: RunFiles, *, repo: str | None = None, merged: bool = False) -> ModelCardData:
    """Return the card's metadata. What is not known (a licence that the recipe does not name, say) is left out."""
    results, data = run.results, run.results["data"]
    return _metadata(
        # a smoke run's numbers mean nothing, so no leaderboard shall read them
        scores=[] if results.get("substitutions") else _eval_results(run),
        name=repo.partition("/")[2] if repo else results["name"],
        base_model=hub_base_model(run),
        data_set=data.get("hub"),
        is_adapter=run.is_adapter and not merged,
        pipeline_tag=pipeline_tag(run),
        method=results["method"],
        metric=_hub_metric(results["main_metric"], run.metrics)[0],
        licence=_settings(run).get("license"),
        languages=_languages(run),
    )


def planned_card(loaded: LoadedRecipe) -> str:
    """Return a card with the metadata that a run of this recipe will have, as far as that is known; its score is 0.

    It is what a Hub can be asked about before hours of training.
    """
    recipe, task = loaded.recipe, loaded.task
    card = load_card(recipe.data.card) if recipe.data.card and recipe.data.train is None else None
    wanted = recipe.evaluation.metric_for_best_model
    metric = wanted if wanted not in (None, "loss") else next(iter(task.metrics(recipe.task)))
    kind, name = _data_set(card.block.source.hub if card else None, card.name if card else None)
    score = EvalResult(
        task_type=task.pipeline_tag,
        dataset_type=kind,
        dataset_name=card.title if card else name,
        metric_type=_hub_metric(str(metric), task.metrics(recipe.task))[0],
        metric_value=0.0,
    )
    base = recipe.model.name
    metadata = _metadata(
        scores=[score],
        name=loaded.name,
        base_model=base if base is not None and is_hub_id(base) and not Path(base).exists() else None,
        data_set=card.block.source.hub if card else None,
        is_adapter=saves_adapter(recipe.method) and not recipe.hub.merged,
        pipeline_tag=task.pipeline_tag,
        method=recipe.method.name,
        metric=score.metric_type,
        licence=recipe.hub.license,
        languages=recipe.hub.language or (card.languages if card else []),
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n# {loaded.name}\n"


def _metadata(
    *,
    scores: list[EvalResult],
    name: str,
    base_model: str | None,
    data_set: str | None,
    is_adapter: bool,
    pipeline_tag: str,
    method: str,
    metric: str,
    licence: str | None,
    languages: list[str],
) -> ModelCardData:
    relation: dict[str, Any] = {}
    if base_model is not None:
        relation["base_model_relation"] = "adapter" if is_adapter else "finetune"
    return ModelCardData(
        base_model=base_model,
        **relation,
        datasets=[data_set] if data_set else None,
        language=languages or None,
        license=licence,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag=pipeline_tag,
        tags=["ft_toolkit", *([method] if method != "full" else [])],
        metrics=[metric],
        model_name=name if scores else None,
        eval_results=scores or None,
    )


def eval_results_file(run: RunFiles) -> tuple[str, str] | None:
    """Return name and content of the file under .eval_results/: the main score on the most trustworthy split.

    None for rows that are no data set of the Hub, a score that means nothing (a smoke run's), or none at all. The form is
    that of huggingface.co/docs/hub/eval-results; the task's id is the data set's config, "default" where it has one only.
    """
    data, split = run.results["data"], run.splits[0]
    score = run.main_score(split)
    if not data.get("hub") or run.results.get("substitutions") or score["value"] is None:
        return None
    entry = EvalResultEntry(
        dataset_id=data["hub"],
        task_id=data.get("config") or "default",
        value=score["value"],
        dataset_revision=data.get("commit"),
        date=run.environment.get("started"),
        notes=f"{run.results['main_metric']} on {split}, n = {run.results['scores'][split]['n']}, 95% interval "
        f"{facts.interval(score)}",
    )
    return f"{data['hub'].replace('/', '_')}.yaml", dump_yaml(eval_result_entries_to_yaml([entry]))


def _settings(run: RunFiles) -> dict[str, Any]:
    """Return the recipe's `hub:` section."""
    return run.recipe.get("hub") or {}


def _languages(run: RunFiles) -> list[str]:
    return list(_settings(run).get("language") or run.results["data"].get("languages") or [])


def pipeline_tag(run: RunFiles) -> str:
    """Return the Hub's pipeline tag of the model."""
    if run.task.pipeline_tag_of is not None and run.schema is not None:
        return run.task.pipeline_tag_of(run.schema)
    return str(run.results.get("pipeline_tag") or run.task.pipeline_tag)


def hub_base_model(run: RunFiles) -> str | None:
    """Return the base model's Hub id; None where it is a folder or comes from a Python package."""
    name = str(run.results["model"])
    source = run.environment.get("model", {})
    # A folder may be called as a Hub id is; only what came from the Hub has a commit.
    if source.get("name") == name and "commit" in source and source["commit"] is None:
        return None
    return name if is_hub_id(name) and not Path(name).exists() else None


def _eval_results(run: RunFiles) -> list[EvalResult]:
    data = run.results["data"]
    kind, title = _data_set(data.get("hub"), data.get("card"))
    found: list[EvalResult] = []
    metrics = run.metrics
    for split in run.splits:
        for name, score in run.results["scores"][split]["metrics"].items():
            if score["value"] is None:
                continue
            metric, arguments = _hub_metric(name, metrics)
            found.append(
                EvalResult(
                    task_type=pipeline_tag(run),
                    dataset_type=kind,
                    dataset_name=data.get("title") or title,
                    dataset_config=data.get("config"),
                    dataset_split=split,
                    dataset_revision=data.get("commit"),
                    metric_type=metric,
                    metric_name=name,
                    metric_value=score["value"],
                    metric_args=arguments,
                )
            )
    return found


def _data_set(hub: str | None, card: str | None) -> tuple[str, str]:
    """Return id and name of the data set for the model-index, which needs both."""
    return hub or card or "local-files", card or "local files"


def _hub_metric(name: str, metrics: Mapping[str, Metric]) -> tuple[str, dict[str, Any] | None]:
    """Return the Hub's id and arguments of a metric; of an unknown metric its name."""
    metric = metrics.get(name)
    if metric is None:
        return name, None
    return metric.hub_name or name, dict(metric.hub_arguments) or None


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
