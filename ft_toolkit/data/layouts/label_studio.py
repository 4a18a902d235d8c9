"""Label Studio's JSON export: tasks with `data` and `annotations[].result[].value`.

Each control of the labelling page (`from_name`) becomes a column: spans, choices (one, or a list) or a text.
"""

from typing import Any

from ft_toolkit.data.layouts.base import Layout, Table, move_utf16_spans, plain_labels, read_spans, records_of


def matches(value: Any) -> bool:
    """Return whether every record is a task of Label Studio."""
    records = records_of(value)
    return bool(records) and all(
        isinstance(record.get("data"), dict) and _are_annotations(_annotations(record)) for record in records
    )


def _are_annotations(value: Any) -> bool:
    """Return whether a value is a list of objects, each with a list of objects as `result` if it has one."""
    is_list = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return is_list and all(records_of(item["result"]) or item["result"] == [] for item in value if "result" in item)


def _annotations(record: dict[str, Any]) -> Any:
    return record.get("annotations", record.get("completions"))


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return one row per task: its id, its data, and a column per control, None in tasks without an annotation."""
    rows, kinds = [], dict[str, str]()
    n_several = n_moved = 0
    for record in records_of(value):
        annotations = [item for item in _annotations(record) if not item.get("was_cancelled")]
        n_several += len(annotations) > 1
        chosen = next((item for item in annotations if item.get("ground_truth")), next(iter(annotations), None))
        row = {"id": record.get("id"), **record["data"], "_annotated": chosen is not None}
        for result in (chosen or {}).get("result", []):
            n_moved += _add_result(row, result, kinds)
        rows.append(row)
    for row in rows:
        is_annotated = row.pop("_annotated")
        for column, kind in kinds.items():
            row.setdefault(column, [] if kind == "spans" and is_annotated else None)
    for column, kind in kinds.items():
        if kind == "choices":
            plain_labels(rows, column)
    if n_several:
        notes.append(f"{n_several} tasks have several annotations; the ground truth, else the first one, is used")
    if n_moved:
        notes.append(f"{n_moved} spans had offsets in UTF-16 units, which were converted to characters")
    return Table(rows, _aliases(rows, kinds))


def _add_result(row: dict[str, Any], result: dict[str, Any], kinds: dict[str, str]) -> int:
    """Add one region of an annotation to a row, and return the number of spans with converted offsets."""
    value, column = result.get("value", {}), str(result.get("from_name"))
    labels = next((value[key] for key in ("labels", "hypertextlabels") if key in value), None)
    if labels is not None and "start" in value:
        spans = read_spans([{**value, "labels": labels}]) or []
        texts = [text for key, text in row.items() if isinstance(text, str) and key != "id"]
        n_moved = sum(move_utf16_spans(text, spans) for text in texts[:1])
        kinds[column] = "spans"
        row[column] = [*(row.get(column) or []), *spans]
        return n_moved
    if isinstance(value.get("choices"), list):
        kinds[column] = "choices"
        row[column] = [*(row.get(column) or []), *value["choices"]]
    elif isinstance(value.get("text"), list):
        kinds[column] = "text"
        row[column] = "\n".join(map(str, value["text"]))
    elif "rating" in value or "number" in value:
        kinds[column] = "number"
        row[column] = value.get("rating", value.get("number"))
    return 0


def _aliases(rows: list[dict[str, Any]], kinds: dict[str, str]) -> dict[str, str]:
    """Return the aliases of columns of tasks: a column is an alias if it is the only one of its kind."""
    aliases = {}
    for task_column, kind in (("entities", "spans"), ("label", "choices")):
        columns = [column for column, column_kind in kinds.items() if column_kind == kind]
        if len(columns) == 1:
            aliases[task_column] = columns[0]
    texts = [key for key, value in rows[0].items() if isinstance(value, str) and key not in ("id", *kinds)]
    if len(texts) == 1:
        aliases["text"] = texts[0]
    return aliases


LAYOUT = Layout(
    name="label_studio",
    matches=matches,
    read=read,
    title="an export of Label Studio (JSON)",
    is_document=True,
    order=20,
)
