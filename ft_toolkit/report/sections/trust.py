"""How far a score can be trusted: on parts of the rows, by its probabilities, between groups, and when inputs change a little.

Each function returns None or nothing where the results do not hold what it shows.
"""

import math
from typing import Any

from ft_toolkit.report import run_files as facts
from ft_toolkit.report.charts import Point, Series, share_chart
from ft_toolkit.report.run_files import MISSING, RunFiles, number, words
from ft_toolkit.report.sections.tables import Cell, Table
from ft_toolkit.tasks.display.wrong_examples import shorten

# Of many labels, those with the largest gaps are shown.
_LABELS = 10
_SHOWN_CHARACTERS = 300
_CURVE_FROM = 0.05
# A temperature this near to 1 changes nothing that could be seen.
_NEAR_ONE = 0.005
_SCORES = {
    "ece": "expected calibration error",
    "brier": "Brier score",
    "nll": "negative log-likelihood",
}


def slices(run: RunFiles, split: str) -> list[Table]:
    """Return a table per column: the main metric of each value's rows, and whether it differs from the rest."""
    return [_slice_table(run, found) for found in run.results["scores"][split].get("slices") or ()]


def _slice_table(run: RunFiles, found: dict[str, Any]) -> Table:
    greater, scored_by = run.results.get("greater_is_better", True), run.metrics.get(found["metric"])
    metric, rows, compared = words(found["metric"]), [], 0
    whole = scored_by.best if scored_by is not None and (scored_by.is_share or scored_by.is_mean) else None
    for one in found["values"]:
        difference = one["difference"]
        outcome = facts.compare(difference, greater_is_better=greater)
        compared += outcome != "unknown"
        said = "too few rows" if one["n"] < 10 else "not comparable" if outcome == "unknown" else outcome
        share = one["score"] / whole if whole is not None and one["score"] is not None else None
        rows.append(
            [
                Cell(one["value"]),
                Cell(facts.count(one["n"]), is_number=True),
                Cell(number(one["score"]), is_number=True, bar=share),
                Cell(facts.interval(one), is_number=True),
                Cell(facts.interval(difference), is_number=True),
                Cell(said),
            ]
        )
    heads = [found["column"], "n", metric, "95% interval", "difference to the rest", "than the rest"]
    columns = [Cell(name, is_number=0 < i < 5) for i, name in enumerate(heads)]
    notes = []
    if found["left_out"]["values"]:
        left = found["left_out"]
        notes.append(f"Not shown: {left['values']:,} rarer values on {left['rows']:,} rows.")
    if compared > 4:
        notes.append(f"Of {compared} comparisons, one in twenty shows a difference by chance alone.")
    title = found["column"]
    return Table(title[:1].upper() + title[1:], columns, rows, " ".join(notes))


def calibration(run: RunFiles, split: str) -> dict[str, Any] | None:
    """Return the sentences, the table and the two charts of a classifier's probabilities."""
    found = run.results["scores"][split].get("calibration")
    if not found:
        return None
    return {
        "said": _calibration_said(found),
        "table": _calibration_table(found),
        "reliability": _reliability(found),
        "curve": _risk_coverage(found),
        "claims": found["claims"],
        "gains": [_gain(one) for one in found["abstaining"]],
        "aurc": found["aurc"],
    }


def abstain_line(run: RunFiles, split: str) -> str | None:
    """Say what leaving the least sure fifth of the examples to a person gains."""
    found = run.results["scores"][split].get("calibration")
    return next((_gain(one) for one in found["abstaining"] if one["share"] == 0.2), None) if found else None


def _gain(one: dict[str, Any]) -> str:
    gain, shown = one["gain"], (one["gain"]["low"] or 0) > 0
    verb = "lifts" if shown else "would move"
    said = f"Abstaining on the least sure {one['share']:.0%} {verb} accuracy on the rest from {number(one['of_all'])} "
    said += f"to {number(one['accuracy']['value'])} (95% interval of the gain {facts.interval(gain)})"
    return said + ("." if shown else ": no gain shown.")


def _calibration_said(found: dict[str, Any]) -> list[str]:
    temperature, ece = found["temperature"], found["ece"]["after"]
    said = []
    if abs(temperature - 1) >= _NEAR_ONE:
        which = "less sure than it was right to be" if temperature < 1 else "too sure of itself"
        said.append(
            f"Logits are divided by a temperature of {temperature:.3g}, chosen on the validation rows, where the model was "
            f"{which}. That changes how likely a label is said to be, not which label is the most likely."
        )
    if found["fitted_here"]:
        said.append("The temperature was chosen on these very rows, so what follows flatters.")
    error = f"The expected calibration error is {number(ece['value'])}; a perfectly calibrated model would show up to "
    error += f"{number(ece['chance'])} on as many examples (in 95% of draws): "
    return [*said, error + ("it is miscalibrated." if ece["value"] > ece["chance"] else "no miscalibration is shown.")]


def _calibration_table(found: dict[str, Any]) -> Table:
    heads = ["lower is better", "before", "95% interval", "after", "95% interval", "change, 95% interval"]
    rows = []
    for key, title in _SCORES.items():
        one = found[key]
        cells = [Cell(title)]
        for side in ("before", "after"):
            cells += [Cell(number(one[side]["value"]), True), Cell(facts.interval(one[side]), True)]
        rows.append([*cells, Cell(facts.interval(one["change"]), True)])
    return Table("", [Cell(head, i > 0) for i, head in enumerate(heads)], rows)


def _reliability(found: dict[str, Any]) -> str:
    points = []
    for side, style in (("before", "plain"), ("after", "strong")):
        total = sum(one["n"] for one in found["bins"][side])
        for one in found["bins"][side]:
            text = f"{side}: {one['n']:,} said to be {one['confidence']:.3f} likely, {one['accuracy']:.3f} right"
            low, high = (one["low"], one["high"]) if side == "after" else (None, None)
            size = 2.5 + 6 * math.sqrt(one["n"] / total)
            points.append(Point(one["confidence"], one["accuracy"], low, high, text, style, size))
    said = "; ".join(f"{one['confidence']:.2f} said, {one['accuracy']:.2f} right" for one in found["bins"]["after"])
    guide = Series("perfect", [(0, 0), (1, 1)], "guide")
    label = f"Reliability after the temperature, bin by bin: {said}"
    return share_chart([], points, ((0, 1), (0, 1)), label=label, height=300, guides=[guide])


def _risk_coverage(found: dict[str, Any]) -> str:
    # among the first few examples one error more or less is most of the scale
    points = [(share, error) for share, error in found["risk_coverage"] if share >= _CURVE_FROM]
    errors = found["aurc"]["unordered"]
    top = max([error for _, error in points] + [errors]) * 1.1 or 0.1
    guide = Series("all alike", [(0, errors), (1, errors)], "guide")
    label = f"Share of errors by the share of examples answered, the surest first: {errors:.4f} when all are answered"
    for one in found["abstaining"]:
        label += f", {1 - one['accuracy']['value']:.4f} at {1 - one['share']:.0%}"
    lines = [Series("errors", points, "strong")]
    return share_chart(lines, [], ((0, 1), (0, top)), label=label, height=300, guides=[guide])


_GAPS = {
    "demographic_parity": ("Demographic parity", "share of the rows that are given the label"),
    "equal_opportunity": ("Equal opportunity", "share of the rows with the label that are given it"),
}


def groups(run: RunFiles, split: str) -> list[dict[str, Any]]:
    """Return, per column, the groups and a table and a sentence for each of the two gaps."""
    return [
        {
            "column": found["column"],
            "groups": [
                f"{one['group']} ({one['n']:,}{'' if one['compared'] else ', too few to compare'})"
                for one in found["groups"]
            ],
            "left_out": found["left_out"],
            "gaps": [
                {"title": title, "said": gap_line(found, key), "meaning": meaning, "table": _gap_table(found[key])}
                for key, (title, meaning) in _GAPS.items()
            ],
        }
        for found in run.results["scores"][split].get("groups") or ()
    ]


def gap_line(found: dict[str, Any], key: str) -> str:
    """Say whether a gap between groups is shown."""
    gaps = found[key]
    if not gaps:
        return "Not compared: fewer than two groups have enough rows."
    worst = gaps["labels"][0]
    how = "" if len(gaps["labels"]) == 1 else f" of {len(gaps['labels'])} labels"
    said = f"The largest gap{how} is {number(worst['gap'])} ({worst['label']}: {worst['highest']} "
    said += f"{number(worst['rates'][worst['highest']])}, {worst['lowest']} {number(worst['rates'][worst['lowest']])}; "
    said += f"95% interval of the difference {facts.interval(worst)}). "
    chance = f"groups that differ by chance alone show as large a one in {gaps['p_value']:.1%} of permutations"
    return said + (f"A gap is shown: {chance}." if gaps["shown"] else f"No gap is shown: {chance}.")


def _gap_table(gaps: dict[str, Any] | None) -> Table | None:
    if not gaps:
        return None
    if len(gaps["labels"]) == 1:  # the sentence says the gap: here are the rates behind it
        (one,) = gaps["labels"]
        rates = sorted(one["rates"].items(), key=lambda rate: -rate[1])
        columns = [Cell("group"), Cell(f"rate of {one['label']}", is_number=True)]
        return Table("", columns, [[Cell(name), Cell(number(rate), is_number=True)] for name, rate in rates])
    heads = ["label", "gap", "95% interval", "highest", "lowest"]
    rows = [
        [
            Cell(one["label"]),
            Cell(number(one["gap"]), is_number=True),
            Cell(facts.interval(one), is_number=True),
            *(Cell(f"{one[end]} {number(one['rates'][one[end]])}") for end in ("highest", "lowest")),
        ]
        for one in gaps["labels"][:_LABELS]
    ]
    more = len(gaps["labels"]) - _LABELS
    note = f"The {_LABELS} largest gaps; results.json has {more:,} more." if more > 0 else ""
    return Table("", [Cell(head, i in (1, 2)) for i, head in enumerate(heads)], rows, note)


def kept_columns(run: RunFiles, split: str) -> set[str]:
    """Return the columns that the model never saw."""
    scores = run.results["scores"][split]
    return {found["column"] for key in ("slices", "groups") for found in scores.get(key) or ()}


def group_lines(run: RunFiles, split: str) -> list[str]:
    """Return a sentence for the summary for each column whose groups are not treated alike."""
    said = []
    for found in run.results["scores"][split].get("groups") or ():
        shown = [title.lower() for key, (title, _) in _GAPS.items() if found[key] and found[key]["shown"]]
        if shown:
            said.append(
                f"The groups of '{found['column']}' are not treated alike: a gap in {' and '.join(shown)} is shown."
            )
    return said


def card_lines(run: RunFiles, split: str) -> list[str]:
    """Say for the model card whether probabilities can be believed, and whether groups are treated alike."""
    scores = run.results["scores"][split]
    said = []
    if calibration := scores.get("calibration"):
        said += _calibration_said(calibration)
    for found in scores.get("groups") or ():
        said += [
            f"Groups of '{found['column']}', {title.lower()}: {gap_line(found, key)}"
            for key, (title, _) in _GAPS.items()
        ]
    return said


def robustness(run: RunFiles, split: str) -> dict[str, Any] | None:
    """Return a table of what small changes of the inputs do, and examples of answers that they turned."""
    found = run.results["scores"][split].get("robustness")
    if not found:
        return None
    heads = ["change", "rows changed", "answers turned", "share", "95% interval", "score", "difference, 95% interval"]
    rows = []
    for one in found:
        flips, metric = one.get("flip_rate") or {}, one.get("metric") or {}
        rows.append(
            [
                Cell(words(str(one["kind"]))),
                Cell(facts.count(one.get("changed")), True),
                Cell(facts.count(one.get("flipped")), True),
                Cell(number(flips.get("value")), True),
                Cell(_interval(flips), True),
                Cell(number(metric.get("value")), True),
                Cell(_interval(metric.get("difference") or {}), True),
            ]
        )
    examples = [
        {
            "kind": words(str(one["kind"])),
            "turned": [{key: _shown(value) for key, value in example.items()} for example in one.get("examples") or ()],
        }
        for one in found
    ]
    table = Table("", [Cell(head, i > 0) for i, head in enumerate(heads)], rows)
    return {"table": table, "examples": [one for one in examples if one["turned"]]}


def _interval(found: dict[str, Any]) -> str:
    return facts.interval({"low": found.get("low"), "high": found.get("high")})


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value)) or "none"
    return MISSING if value is None else shorten(str(value), _SHOWN_CHARACTERS)
