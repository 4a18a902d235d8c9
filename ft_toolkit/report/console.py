"""The last lines of a run on the console: scores with intervals, baselines beside them, and where the report is."""

from typing import Any

from rich.console import Console
from rich.table import Table

from ft_toolkit.report.run_files import interval, number

# Left to the report, so that the console shows what decides.
_DETAIL = ("precision_", "recall_")


def print_results(results: dict[str, Any], console: Console) -> None:
    """Print the main metric and its kin for every evaluated split; of several seeds, mean and spread."""
    if "seeds" in results:
        _print_seeds(results, console)
        return
    main, lower = results["main_metric"], results["lower_is_better"]
    for split, scores in results["scores"].items():
        baselines = list(scores["baselines"])
        table = Table(f"{split} (n={scores['n']})", "score", "95% interval", "detectable", *baselines, box=None)
        shown = {
            name: found for name, found in scores["metrics"].items() if not name.startswith(_DETAIL) or name == main
        }
        for name, found in shown.items():
            table.add_row(
                name + (" *" if name == main else "") + (" (lower is better)" if name in lower else ""),
                number(found["value"]),
                interval(found),
                number(found["detectable"]),
                *(number(scores["baselines"][baseline][name]["value"]) for baseline in baselines),
            )
        console.print(table)
        if scores.get("robustness"):
            _print_robustness(scores["robustness"], main, console)
    console.print("detectable: from which difference on another model's score would show (5% level, power 80%)")
    if (reference := results.get("reference")) is not None:
        verdict = {True: "reached", False: "not reached", None: "not measured"}[reference["reached"]]
        target = f"{reference['metric']} {reference['value']} +- {reference['tolerance']}"
        console.print(f"reference {target}: {verdict} ({reference['source']})", highlight=False)
    if (proof := results.get("reload_proof")) is not None:
        console.print(
            f"a fresh process gave the same predictions for {proof['rows']} {proof['split']} rows "
            f"(largest difference {proof['largest_difference']:.1g})",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"report: {results['folder']}/report.html", highlight=False, soft_wrap=True)


def _print_robustness(records: list[dict[str, Any]], main: str, console: Console) -> None:
    """Print, per kind of change, the answers that flipped among the rows whose change the model sees."""
    table = Table(
        "changed", "rows", "flipped", "95% interval", f"{main} before", "after", "95% of difference", box=None
    )
    for one in records:
        rate, metric = one["flip_rate"], one["metric"]
        if not one["changed"]:
            table.add_row(one["kind"], "0", *["-"] * 5)
            continue
        table.add_row(
            one["kind"],
            str(one["changed"]),
            f"{one['flipped']} ({rate['value']:.1%})",
            f"{rate['low']:.1%} to {rate['high']:.1%}",
            number(metric["plain"]),
            number(metric["value"]),
            interval(metric["difference"]),
        )
    console.print(table)
    for one in records:
        if unseen := one["rewritten"] - one["changed"]:
            console.print(f"{one['kind']}: in {unseen} more rows the tokenizer takes the change back", highlight=False)


def _print_seeds(results: dict[str, Any], console: Console) -> None:
    main, lower = results["main_metric"], results["lower_is_better"]
    for split, scores in results["scores"].items():
        table = Table(f"{split} (n={scores['n']})", "mean +- sd", "minimum", "maximum", "seeds", box=None)
        for name, found in scores["metrics"].items():
            if not name.startswith(_DETAIL) or name == main:
                table.add_row(
                    name + (" *" if name == main else "") + (" (lower is better)" if name in lower else ""),
                    f"{number(found['mean'])} +- {number(found['sd'])}",
                    number(found["min"]),
                    number(found["max"]),
                    str(found["n"]),
                )
        console.print(table)
    best = results["best"]
    where = f"{results['folder']}/{best['model']}"
    console.print(
        f"best by {best['chosen_by']}: seed {best['seed']} ({number(best['value'])}), {where}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"report: {results['folder']}/report.html", highlight=False, soft_wrap=True)
