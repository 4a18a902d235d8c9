"""A run or an evaluation in a notebook: verdict, table of scores, notes on the rows, and a link to the report page."""

from html import escape
from pathlib import Path

from ft_toolkit.core.run_folder import REPORT
from ft_toolkit.core.run_records import AnyResults, SeedsResults
from ft_toolkit.report.numbers import count, interval, number
from ft_toolkit.report.run_files import RunFiles, in_order, read_run
from ft_toolkit.report.seeds import spread
from ft_toolkit.report.wording import (
    equal_metrics,
    group_name,
    main_score_text,
    plain_name,
    sentence,
    suggestions,
    verdict,
)


def summary(results: AnyResults) -> str:
    """Return the main score in one line: "accuracy 0.91 (95% interval 0.86 to 0.95) on 200 test examples"."""
    split = in_order(results.scores)[0]
    if not isinstance(results, SeedsResults):
        return main_score_text(results, split)
    scores, main = results.scores[split], results.main_metric
    mean = spread(scores.metrics[main], scores.n)
    return f"{plain_name(main)} {mean} (mean and standard deviation of {len(results.seeds)} seeds) on {split}"


def results_html(folder: Path, results: AnyResults) -> str:
    """Return the HTML of a notebook cell. The link to the report page is relative if `folder` is."""
    if isinstance(results, SeedsResults):
        text, table = sentence(summary(results)), _seeds_table(results)
    else:
        run = read_run(folder)
        text, table = verdict(results, run.splits[0], run.metrics), _score_table(run)
        if tips := suggestions(results):
            table = f"<p>Suggestions:</p><ul>{''.join(f'<li>{escape(tip)}</li>' for tip in tips)}</ul>{table}"
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in results.data.warnings)
    report = escape((folder / REPORT).as_posix())
    return (
        f"<p><b>{escape(results.name)}</b> ({escape(plain_name(results.task))}). {escape(text)}</p>{table}"
        + (f"<ul>{warnings}</ul>" if warnings else "")
        + f'<p>Report page: <a href="{report}">{report}</a></p>'
    )


def _score_table(run: RunFiles) -> str:
    """Return the scores with their 95% intervals; metrics that are the same number share a row."""
    scores = {split: run.results.scores[split] for split in run.splits}
    rows = []
    for names in equal_metrics(scores.values(), run.results.main_metric):
        cells = [group_name(names)]
        for split in scores.values():
            score = split.metrics[names[0]]
            cells.append(f"{number(score.value, split.n)} ({interval(score, split.n)})")
        rows.append(cells)
    return _table({split: record.n for split, record in scores.items()}, rows)


def _seeds_table(results: SeedsResults) -> str:
    scores = {split: results.scores[split] for split in in_order(results.scores)}
    names = dict.fromkeys(name for split in scores.values() for name in split.metrics)
    rows = [[plain_name(name), *(spread(split.metrics[name], split.n) for split in scores.values())] for name in names]
    return _table({split: record.n for split, record in scores.items()}, rows)


def _table(sizes: dict[str, int], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(split)} ({count(n)} examples)</th>" for split, n in sizes.items())
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr><th>metric</th>{head}</tr></thead><tbody>{body}</tbody></table>"
