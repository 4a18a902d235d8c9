"""All metrics of each split, with the metrics of the baselines. Metrics that are the same number share a row."""

from typing import Any

from ft_toolkit.report.numbers import FEW_EXAMPLES
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.wording import equal_metrics, group_name


def _build(run: RunFiles, split: str) -> dict[str, Any]:
    scores = run.results.scores[split]
    main, lower_is_better = run.results.main_metric, run.lower_is_better
    rows = []
    for names in equal_metrics(run.results.scores.values(), main):
        first = names[0]
        rows.append(
            {
                "name": group_name(names),
                "is_main": first == main,
                "lower_is_better": first in lower_is_better,
                "score": scores.metrics[first],
                "baselines": [baseline.get(first) for baseline in scores.baselines.values()],
            }
        )
    return {
        "rows": rows,
        "baselines": list(scores.baselines),
        "has_detectable": any(score.detectable is not None for score in scores.metrics.values()),
        "has_few_examples": scores.n < FEW_EXAMPLES,
    }


SECTION = Section(order=20, title="All metrics", build=per_split(_build))
