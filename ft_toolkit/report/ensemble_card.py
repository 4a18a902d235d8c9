"""README.md of an ensemble: the model card with its members and their scores."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import CARD, MODEL
from ft_toolkit.core.run_records import EvaluationResults
from ft_toolkit.report.card import code, escape, eval_results, hub_metric, pipeline_tag
from ft_toolkit.report.run_files import RunFiles, read_run
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.usage import usage


def write_ensemble_card(folder: Path, results: EvaluationResults) -> None:
    """Write README.md into the folder of an ensemble and into its model folder."""
    text = ensemble_card_text(read_run(folder, results))
    for target in (folder, folder / MODEL):
        write_file(target / CARD, text)


def ensemble_card_text(run: RunFiles, *, repo: str | None = None) -> str:
    """Return the model card of an ensemble. `repo` is the Hub repository that the card is for, None for a local folder."""
    results = run.results
    assert isinstance(results, EvaluationResults)
    body = load_template("ensemble_card.md.j2", autoescape=False, md=escape, code=code).render(
        run=run,
        results=results,
        repo=repo,
        usage=usage(run, run.max_length, model=repo or "MODEL", is_adapter=False, has_base=True),
        bases=sorted({member.model for member in results.members}),
    )
    return f"---\n{_metadata(run, repo).to_yaml()}\n---\n\n{body.strip()}\n"


def _metadata(run: RunFiles, repo: str | None) -> ModelCardData:
    """Return the card's metadata. The library is ft_toolkit, because transformers cannot load an ensemble."""
    results = run.results
    return ModelCardData(
        datasets=[results.data.hub] if results.data.hub else None,
        language=list(results.data.languages) or None,
        library_name="ft_toolkit",
        pipeline_tag=pipeline_tag(run),
        tags=["ft_toolkit", "ensemble"],
        metrics=[hub_metric(results.main_metric, run.metrics)[0]],
        model_name=repo.partition("/")[2] if repo else results.name,
        eval_results=eval_results(run),
    )
