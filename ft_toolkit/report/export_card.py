"""README.md of an export: the model card with its certificate."""

from pathlib import Path

from huggingface_hub import ModelCardData

from ft_toolkit.core.export_records import Certificate, read_certificate
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import CARD, MODEL
from ft_toolkit.core.run_records import EvaluationResults
from ft_toolkit.report.card import code, escape, eval_results, hub_metric, pipeline_tag
from ft_toolkit.report.run_files import RunFiles, read_run
from ft_toolkit.report.sections.certificate import certificate_tables
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.usage import usage


def write_export_card(folder: Path, results: EvaluationResults) -> None:
    """Write README.md into the folder of an export and into its model folder. `results` is the content of results.json."""
    text = export_card_text(read_run(folder, results), read_certificate(folder))
    for target in (folder, folder / MODEL):
        write_file(target / CARD, text)


def export_card_text(run: RunFiles, certificate: Certificate, *, repo: str | None = None) -> str:
    """Return the model card of an export. `repo` is the Hub repository that the card is for, None for a local folder."""
    results = run.results
    assert isinstance(results, EvaluationResults) and results.export is not None, "the folder of an export"
    body = load_template("export_card.md.j2", autoescape=False, md=escape, code=code).render(
        run=run,
        results=results,
        export=results.export,
        certificate=certificate,
        tables=certificate_tables(certificate, run.metrics),
        repo=repo,
        usage=usage(run, run.max_length, model=repo or "MODEL", is_adapter=False, has_base=True),
        is_graph=results.export.format != "transformers",
    )
    return f"---\n{_metadata(run, repo).to_yaml()}\n---\n\n{body.strip()}\n"


def _metadata(run: RunFiles, repo: str | None) -> ModelCardData:
    """Return the card's metadata. The library of a graph is ft_toolkit, because transformers cannot load it."""
    results = run.results
    assert isinstance(results, EvaluationResults) and results.export is not None
    is_graph = results.export.format != "transformers"
    return ModelCardData(
        datasets=[results.data.hub] if results.data.hub else None,
        language=list(results.data.languages) or None,
        library_name="ft_toolkit" if is_graph else "transformers",
        pipeline_tag=pipeline_tag(run),
        tags=["ft_toolkit", "onnx"] if is_graph else ["ft_toolkit"],
        metrics=[hub_metric(results.main_metric, run.metrics)[0]],
        model_name=repo.partition("/")[2] if repo else results.name,
        eval_results=eval_results(run),
    )
