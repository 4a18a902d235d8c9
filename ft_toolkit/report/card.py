"""README.md: the model card with the Hub's metadata, in the run folder and in the model folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from ft_toolkit.core.files import write_file
from ft_toolkit.core.hub_names import is_hub_id
from ft_toolkit.core.run_records import RunResults
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.data.cards import load_card
from ft_toolkit.metrics.clusters import describe
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.methods import saves_adapter
from ft_toolkit.report.numbers import interval
from ft_toolkit.report.run_files import RunFiles, read_run
from ft_toolkit.report.sections.calibration import calibration_sentences
from ft_toolkit.report.sections.data import answer_cuts
from ft_toolkit.report.sections.groups import gap_sentences
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.usage import usage
from ft_toolkit.report.wording import (
    compare_with_baselines,
    equal_metrics,
    group_name,
    reference_line,
    reload_check_line,
    selection_line,
    sentence,
    suggestions,
    trainable_share,
    verdict,
)

# More labels than this are counted, not listed. The model's config.json names all of them.
_MAX_LISTED_LABELS = 30


@dataclass(frozen=True)
class _Metadata:
    """The values of the card's metadata; None leaves a key out."""

    scores: list[EvalResult]
    name: str
    base_model: str | None
    data_set: str | None
    is_adapter: bool
    pipeline_tag: str
    method: str
    # the Hub's id of the main metric
    metric: str
    licence: str | None
    languages: list[str]

    def as_card_data(self) -> ModelCardData:
        """Return the metadata in the form of huggingface_hub."""
        relation: dict[str, Any] = {}
        if self.base_model is not None:
            relation["base_model_relation"] = "adapter" if self.is_adapter else "finetune"
        return ModelCardData(
            base_model=self.base_model,
            **relation,
            datasets=[self.data_set] if self.data_set else None,
            language=self.languages or None,
            license=self.licence,
            library_name="peft" if self.is_adapter else "transformers",
            pipeline_tag=self.pipeline_tag,
            tags=["ft_toolkit", *([self.method] if self.method != "full" else [])],
            metrics=[self.metric],
            model_name=self.name if self.scores else None,
            eval_results=self.scores or None,
        )


def write_card(run_folder: Path, results: RunResults | None = None) -> None:
    """Write README.md into the folder of a run and into its model folder, where there is one; `results` as for the page."""
    text = card_text(read_run(run_folder, results))
    for folder in (run_folder, run_folder / "model"):
        if folder.is_dir():
            write_file(folder / "README.md", text)


def card_text(run: RunFiles, *, repo: str | None = None, merged: bool = False) -> str:
    """Return the model card.

    `repo` is the Hub repository that the card is for, None for a local folder. `merged` says that the adapter is merged into
    the weights there.
    """
    results, first = run.run_results, run.splits[0]
    has_adapter = run.is_adapter and not merged
    body = load_template("model_card.md.j2", autoescape=False, md=escape, code=code).render(
        run=run,
        results=results,
        repo=repo,
        method=trainable_share(results),
        is_adapter=has_adapter,
        is_merged=run.is_adapter and merged,
        hub_model=hub_base_model(run),
        labels=run.labels,
        max_listed_labels=_MAX_LISTED_LABELS,
        usage=usage(
            run,
            run.max_length,
            model=repo or "MODEL",
            is_adapter=has_adapter,
            has_base=repo is None or hub_base_model(run) is not None,
        ),
        licence=_hub_settings(run).get("license"),
        languages=_languages(run),
        answer_cuts=answer_cuts(key for facts in results.data.splits.values() for key in facts.as_json()),
        verdict=verdict(results, first, run.metrics),
        suggestions=suggestions(results),
        comparisons={
            split: [sentence(comparison.sentence) for comparison in compare_with_baselines(results, split, run.metrics)]
            for split in run.splits
        },
        metrics=[
            (group_name(names), names[0]) for names in equal_metrics(results.scores.values(), results.main_metric)
        ],
        limits=[*filter(None, [run.tuning_text]), *calibration_sentences(run, first), *gap_sentences(run, first)],
        has_groups=any(scores.groups for scores in results.scores.values()),
        has_robustness=any(scores.robustness for scores in results.scores.values()),
        reference=reference_line(results),
        reload_check=reload_check_line(results),
        selection=selection_line(results, run.selection_metric),
        groups=[
            f"On {split}, {describe(scores.clusters.column, scores.clusters.n)}."
            for split, scores in results.scores.items()
            if scores.clusters is not None
        ],
        fence="`" * max(3, _longest_ticks(results.command or "") + 1),
    )
    return f"---\n{card_data(run, repo=repo, merged=merged).to_yaml()}\n---\n\n{body.strip()}\n"


def card_data(run: RunFiles, *, repo: str | None = None, merged: bool = False) -> ModelCardData:
    """Return the card's metadata. Unknown values, such as a licence that the recipe does not name, are left out."""
    results, data = run.run_results, run.results.data
    return _Metadata(
        # the scores of a smoke run are meaningless and must not reach a leaderboard
        scores=[] if results.is_smoke else eval_results(run),
        name=repo.partition("/")[2] if repo else results.name,
        base_model=hub_base_model(run),
        data_set=data.hub,
        is_adapter=run.is_adapter and not merged,
        pipeline_tag=pipeline_tag(run),
        method=results.method,
        metric=hub_metric(results.main_metric, run.metrics)[0],
        licence=_hub_settings(run).get("license"),
        languages=_languages(run),
    ).as_card_data()


def planned_card(loaded: LoadedRecipe) -> str:
    """Return a card with the metadata that a run of this recipe will have; the score is 0, unknown values are left out.

    The Hub can validate it before hours of training.
    """
    recipe, task = loaded.recipe, loaded.task
    card = load_card(recipe.data.card) if recipe.data.card and not recipe.data.has_local_files else None
    data_set = card.block.source.hub if card else (recipe.data.hub or "").partition("@")[0] or None
    selection = recipe.evaluation.metric_for_best_model
    metric = selection if selection not in (None, "loss") else next(iter(task.metrics(recipe.task)))
    kind, name = _data_set(data_set, card.name if card else data_set)
    score = EvalResult(
        task_type=task.pipeline_tag,
        dataset_type=kind,
        dataset_name=card.title if card else name,
        metric_type=hub_metric(str(metric), task.metrics(recipe.task))[0],
        metric_value=0.0,
    )
    base = recipe.model.name
    metadata = _Metadata(
        scores=[score],
        name=loaded.name,
        base_model=base if base is not None and is_hub_id(base) and not Path(base).exists() else None,
        data_set=data_set,
        is_adapter=saves_adapter(recipe.method) and not recipe.hub.merged,
        pipeline_tag=task.pipeline_tag,
        method=recipe.method.name,
        metric=score.metric_type,
        licence=recipe.hub.license,
        languages=recipe.hub.language or (card.languages if card else []),
    )
    return f"---\n{metadata.as_card_data().to_yaml()}\n---\n\n# {loaded.name}\n"


def eval_results_file(run: RunFiles) -> tuple[str, str] | None:
    """Return name and content of the file in .eval_results/ with the main score on the most trustworthy split.

    None for rows that are not a data set of the Hub, for a smoke run and for an undefined score. Format:
    huggingface.co/docs/hub/eval-results. The task id is the config of the data set, "default" without one.
    """
    data, split = run.results.data, run.splits[0]
    score = run.main_score(split)
    if not data.hub or run.results.is_smoke or score.value is None:
        return None
    entry = EvalResultEntry(
        dataset_id=data.hub,
        task_id=data.config or "default",
        value=score.value,
        dataset_revision=data.commit,
        date=run.environment.started,
        notes=f"{run.results.main_metric} on {split}, n = {run.results.scores[split].n}, 95% interval "
        f"{interval(score)}",
    )
    return f"{data.hub.replace('/', '_')}.yaml", dump_yaml(eval_result_entries_to_yaml([entry]))


def _hub_settings(run: RunFiles) -> dict[str, Any]:
    """Return the recipe's `hub:` section."""
    return run.recipe.get("hub") or {}


def _languages(run: RunFiles) -> list[str]:
    return list(_hub_settings(run).get("language") or run.results.data.languages)


def pipeline_tag(run: RunFiles) -> str:
    """Return the Hub's pipeline tag of the model."""
    if run.task.pipeline_tag_of is not None and run.schema is not None:
        return run.task.pipeline_tag_of(run.schema)
    return str(run.results.pipeline_tag or run.task.pipeline_tag)


def hub_base_model(run: RunFiles) -> str | None:
    """Return the Hub id of the base model, None for a folder or a Python package."""
    name, source = run.results.model, run.environment.model
    # A folder can have the name of a Hub id; only a model from the Hub has a commit.
    if source.name == name and source.commit is None:
        return None
    return name if is_hub_id(name) and not Path(name).exists() else None


def eval_results(run: RunFiles) -> list[EvalResult]:
    data = run.results.data
    kind, title = _data_set(data.hub, data.card)
    entries: list[EvalResult] = []
    metrics = run.metrics
    for split in run.splits:
        for name, score in run.results.scores[split].metrics.items():
            if score.value is None:
                continue
            metric, arguments = hub_metric(name, metrics)
            entries.append(
                EvalResult(
                    task_type=pipeline_tag(run),
                    dataset_type=kind,
                    dataset_name=data.title or title,
                    dataset_config=data.config,
                    dataset_split=split,
                    dataset_revision=data.commit,
                    metric_type=metric,
                    metric_name=name,
                    metric_value=score.value,
                    metric_args=arguments,
                )
            )
    return entries


def _data_set(hub: str | None, card: str | None) -> tuple[str, str]:
    """Return the id and the name of the data set; the model-index requires both."""
    return hub or card or "local-files", card or "local files"


def hub_metric(name: str, metrics: Mapping[str, Metric]) -> tuple[str, dict[str, Any] | None]:
    """Return the Hub's id and arguments of a metric; of an unknown metric its name."""
    metric = metrics.get(name)
    if metric is None:
        return name, None
    return metric.hub_name or name, dict(metric.hub_arguments) or None


def escape(text: Any) -> str:
    """Return the text escaped for Markdown, on one line: no markup, no HTML, no end of a table cell."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def code(text: Any) -> str:
    """Return the text as inline code; it may contain backticks."""
    line = " ".join(str(text).split())
    ticks = "`" * (_longest_ticks(line) + 1)
    space = " " if "`" in line else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
