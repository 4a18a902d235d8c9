"""Plant faults of each kind in real rows, and count how many `ftk data audit` finds, and how many other rows it names.

    python benchmarks/planted_faults.py --data FOLDER > benchmarks/results/DATE_planted_faults.md

FOLDER has the data sets in subfolders (sst2, banking77, reuters_r8, multi30k_en_de, xquad_en), in the formats of their authors.
Each repetition draws 600 rows, leaves out those that have a fault already, and plants 20 faults of one kind in them.
"""

import argparse
import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.data.faults.find_faults import find_faults
from ft_toolkit.data.faults.personal_data import matches
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks import find_tasks

ROWS, PLANTED, SEEDS = 600, 20, range(1)
Row = dict[str, Any]
# Latin letters and the Cyrillic letters that replace them.
CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхижклмнопярстувщхыз")


def main() -> None:
    """Print a table: kind, data set, planted faults, found ones, and other rows that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    german = [json.loads(line)["de"] for line in (folder / "multi30k_en_de/train.jsonl").open(encoding="utf-8")]
    print(f"{PLANTED} faults in about {ROWS} rows of each data set, {len(SEEDS)} repetition(s).\n")
    print("| kind | data | planted | found | other rows with this kind |")
    print("|---|---|---|---|---|")
    sets = {name: read(folder / name) for name in ("sst2", "banking77", "reuters_r8")}
    for kind, plant in plantings(german).items():
        for name, rows in sets.items():
            print_line(kind, name, "text_classification", rows, plant)
    print_line("cut_words", "xquad_en", "question_answering", questions(folder / "xquad_en/train.json"), cut)


def print_line(kind: str, name: str, task: str, rows: list[Row], plant: "Plant") -> None:
    """Print a line of the table."""
    n_planted = n_found = n_others = n_rows = 0
    for seed in SEEDS:
        rng = random.Random(f"{kind} {name} {seed}")
        clean = without_faults(rng.sample(rows, min(ROWS, len(rows))), task)
        train, test = clean[: len(clean) * 3 // 4], clean[len(clean) * 3 // 4 :]
        planted = plant(train, test, rng)
        named_rows = rows_with(kind, train, test, task)
        n_planted += len(planted)
        n_found += len(planted & named_rows)
        n_others += len(named_rows - planted - {row["source"] for row in (*train, *test) if "source" in row})
        n_rows += len(train) + len(test)
    print(
        f"| {kind} | {name} | {n_planted} | {n_found} ({n_found / n_planted:.0%}) | {n_others} of {n_rows:,} |",
        flush=True,
    )


def audited(train: list[Row], test: list[Row], task: str) -> AuditedRows:
    chosen = find_tasks()[task]
    return AuditedRows(LoadedData({"train": train, "test": test}, {}, None, None, []), chosen, chosen.settings())


def rows_with(kind: str, train: list[Row], test: list[Row], task: str) -> set[str]:
    """Return the ids of the rows with a kind of fault."""
    rows = audited(train, test, task)
    return {rows.row_id(row) for fault in find_faults(rows) if fault.name == kind for row in fault.rows}


def without_faults(rows: list[Row], task: str) -> list[Row]:
    """Return copies of the rows that have no fault yet; rows with rare labels are left in."""
    checked = audited(rows, [], task)
    bad = {row for fault in find_faults(checked) for row in fault.rows}
    return [dict(row) for number, row in enumerate(rows) if number not in bad]


# (training rows, test rows, generator) -> the ids of the planted rows; changes and extends both lists. A row that repeats
# another one has its id in `source`.
Plant = Callable[[list[Row], list[Row], random.Random], set[str]]


def edit(change: Callable[[str, random.Random], str]) -> Plant:
    """Return a planting that changes the texts of training rows."""

    def plant(train: list[Row], test: list[Row], rng: random.Random) -> set[str]:
        chosen = rng.sample([row for row in train if len(row["text"].split()) >= 5], PLANTED)
        for row in chosen:
            row["text"] = change(row["text"], rng)
        return {row["id"] for row in chosen}

    return plant


def repeat(change: Callable[[str, random.Random], str], *, to_test: bool = False, other_label: bool = False) -> Plant:
    """Return a planting that adds changed copies of training rows to the training or test rows."""

    def plant(train: list[Row], test: list[Row], rng: random.Random) -> set[str]:
        labels = sorted({row["label"] for row in train})
        added = []
        for row in rng.sample([row for row in train if len(row["text"].split()) >= 12], PLANTED):
            label = rng.choice([name for name in labels if name != row["label"]]) if other_label else row["label"]
            copy = {"id": f"copy {row['id']}", "text": change(row["text"], rng), "label": label, "source": row["id"]}
            added.append(copy)
        (test if to_test else train).extend(added)
        return {row["id"] for row in added}

    return plant


def plantings(german: list[str]) -> dict[str, Plant]:
    """Return the planting of each kind."""

    def same(text: str, rng: random.Random) -> str:
        return f" {text.upper()}"

    def near(text: str, rng: random.Random) -> str:
        words = text.split()
        words[rng.randrange(len(words))] = "zorblat"
        return " ".join(words)

    def inserted(piece: str) -> Callable[[str, random.Random], str]:
        return lambda text, rng: " ".join([*text.split()[:3], piece, *text.split()[3:]])

    return {
        "leaks": repeat(same, to_test=True),
        "near_leaks": repeat(near, to_test=True),
        "contradictions": repeat(same, other_label=True),
        "near_contradictions": repeat(near, other_label=True),
        "label_variants": variants,
        "empty": edit(lambda text, rng: " \u00a0\n"),
        "wrong_encoding": edit(inserted("d\u00e9j\u00e0".encode().decode("cp1252", "replace"))),
        "control_characters": edit(inserted("a\x07b")),
        "other_script": edit(lambda text, rng: text.lower().translate(CYRILLIC)),
        "other_language": edit(lambda text, rng: rng.choice(german)),
        "duplicates": repeat(same),
        "near_duplicates": repeat(near),
        "personal_data": edit(lambda text, rng: inserted(personal(rng))(text, rng)),
    }


def variants(train: list[Row], test: list[Row], rng: random.Random) -> set[str]:
    """Write the labels of some rows in capital letters."""
    chosen = rng.sample([row for row in train if row["label"].upper() != row["label"]], PLANTED)
    for row in chosen:
        row["label"] = row["label"].upper()
    return {row["id"] for row in chosen}


def personal(rng: random.Random) -> str:
    """Return a random mail address, phone number, or card number with a right check digit."""
    digits = "".join(rng.choices("0123456789", k=9))
    kind = rng.randrange(4)
    if kind == 0:
        return f"{rng.choice(['jane', 'tom', 'li'])}.{digits[:3]}@example{digits[3]}.org"
    if kind == 1:
        return f"+49 30 {digits[:7]}"
    if kind == 2:
        return f"({digits[:3]}) {digits[3:6]}-{digits[5:9]}"
    while True:  # one of ten numbers has a right check digit
        card = "4" + "".join(rng.choices("0123456789", k=15))
        if matches(f"a {card} b"):
            return card


def cut(train: list[Row], test: list[Row], rng: random.Random) -> set[str]:
    """Move the start of some answers by one letter to the left or right."""
    chosen = []
    for row in rng.sample(train, len(train)):
        (text, *_), (start, *_) = row["answers"]["text"], row["answers"]["answer_start"]
        if len(text) > 3 and text[:2].isalpha() and len(chosen) < PLANTED:
            row["answers"] = {"text": [row["context"][start + 1 : start + len(text)]], "answer_start": [start + 1]}
            chosen.append(row)
    return {row["id"] for row in chosen}


def read(folder: Path) -> list[Row]:
    """Return the training rows of a data set of texts with labels."""
    path = next(folder.glob("train.*"))
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    else:
        with path.open(encoding="utf-8", newline="") as file:
            quoting = csv.QUOTE_NONE if path.suffix == ".tsv" else csv.QUOTE_MINIMAL
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", quoting=quoting))
    names = {"0": "negative", "1": "positive"}  # label variants need letters
    labels = [str(row.get("label", row.get("category"))) for row in rows]
    return [
        {"id": str(i), "text": row["text"], "label": names.get(label, label)}
        for i, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]


def questions(path: Path) -> list[Row]:
    """Return the questions of a SQuAD file."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        {
            "id": question["id"],
            "question": question["question"],
            "context": paragraph["context"],
            "answers": {
                "text": [answer["text"] for answer in question["answers"]],
                "answer_start": [answer["answer_start"] for answer in question["answers"]],
            },
        }
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


if __name__ == "__main__":
    main()
