"""The certificate of an export: outputs, answers, scores, size and speed beside the run."""

from collections.abc import Mapping

from ft_toolkit.core.export_records import Certificate, LayerChoice, read_certificate
from ft_toolkit.core.run_folder import CERTIFICATE
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.numbers import MISSING, count, difference, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section
from ft_toolkit.report.tables import Cell, Table, header
from ft_toolkit.report.wording import plain_name


def certificate_tables(certificate: Certificate, metrics: Mapping[str, Metric]) -> list[Table]:
    """Return the tables of a certificate: parity, metrics, size and speed."""
    return [_parity(certificate), _metrics(certificate, metrics), _cost(certificate)]


def _parity(certificate: Certificate) -> Table:
    changed = certificate.changed_answers
    rows = [
        ["largest difference of an output", _figure(certificate.largest_difference)],
        ["standard deviation of the outputs", _figure(certificate.output_scale)],
        ["changed answers", f"{count(changed.count)} of {count(changed.rows)}"],
        ["95% interval of their share", f"{changed.low:.2%} to {changed.high:.2%}"],
    ]
    if certificate.graph_difference is not None:
        rows.insert(1, ["largest difference of the float32 graph", f"{certificate.graph_difference:.2g}"])
    if certificate.layers is not None:
        rows.append(["layers", describe_layers(certificate.layers)])
    if certificate.max_drop is not None:
        rows.append([f"drop of {plain_name(certificate.max_drop.metric)}", certificate.max_drop.text])
    precision = "bfloat16" if certificate.run_precision == "bf16" else "float32"
    note = f"On {count(certificate.rows)} {certificate.split} rows; the run predicted in {precision}."
    return Table("Outputs and answers", header(["", "export against run"], range(0)), _cells(rows, 0), note)


def describe_layers(layers: LayerChoice) -> str:
    """Return which layers stay in float32, and why."""
    changed = f"{layers.all_in_8_bits:.1%} of {count(layers.rows)} training answers change"
    if not layers.float_layers:
        return f"all have 8 bits: {changed}, and the bound allows {layers.allowed:.1%}"
    return (
        f"{', '.join(layers.float_layers)} stay in float32: with all layers in 8 bits, {changed}, and the bound allows "
        f"{layers.allowed:.1%}; with these in float32, {layers.chosen:.1%} change"
    )


def _figure(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2g}"


def _metrics(certificate: Certificate, metrics: Mapping[str, Metric]) -> Table:
    n = certificate.rows
    rows = []
    for name, score in certificate.metrics.items():
        ends = MISSING
        if score.low is not None and score.high is not None:
            ends = difference((score.low, score.high), metrics.get(name), n)
        change = MISSING if score.difference is None else difference((score.difference,), metrics.get(name), n)
        rows.append([plain_name(name), number(score.run, n), number(score.export, n), change, ends])
    columns = header(["metric", "run", "export", "difference", "95% interval"], range(1, 5))
    return Table("Metrics", columns, _cells(rows, 5), "The intervals are paired: both models predict the same rows.")


def _cost(certificate: Certificate) -> Table:
    rows = [["size", f"{certificate.run_megabytes:,.1f} MB", f"{certificate.export_megabytes:,.1f} MB"]]
    note = ""
    if (timing := certificate.timing) is not None:
        rows += [
            ["one row, p50", f"{timing.run.p50_ms:.1f} ms", f"{timing.export.p50_ms:.1f} ms"],
            ["one row, p95", f"{timing.run.p95_ms:.1f} ms", f"{timing.export.p95_ms:.1f} ms"],
            [
                "batches of 32 rows",
                f"{timing.run.rows_per_second:,.0f} rows/s",
                f"{timing.export.rows_per_second:,.0f} rows/s",
            ],
        ]
        note = (
            f"From text to prediction, measured in {timing.rounds} turns on {certificate.machine.get('processor')} with "
            f"{timing.threads} threads."
        )
    return Table("Size and speed", header(["", "run", "export"], range(1, 3)), _cells(rows, 3), note)


def _cells(rows: list[list[str]], numeric_to: int) -> list[list[Cell]]:
    return [[Cell(text, is_number=0 < i < numeric_to) for i, text in enumerate(row)] for row in rows]


def _build(run: RunFiles) -> list[Table]:
    if not (run.folder / CERTIFICATE).is_file():
        return []
    return certificate_tables(read_certificate(run.folder), run.metrics)


SECTION = Section(order=12, title="Certificate", build=_build)
