"""Write rows for generative question answering from SQuAD files: short paragraphs, and a share of questions without an answer.

    python benchmarks/answers_and_abstention.py FOLDER --train train.json --validation validation.json --test test.json

A question without an answer is a real question beside another paragraph of the same article, which does not contain any of its
reference answers. Every fourth question of a split becomes one, if there is such a paragraph. The numbers of rows are limits;
the rows are drawn with a seed. FOLDER gets train.jsonl, validation.jsonl and test.jsonl.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def main() -> None:
    """Write the three files, and print the number of rows of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for split in ("train", "validation", "test"):
        parser.add_argument(f"--{split}", type=Path, required=True, help="a SQuAD file")
    parser.add_argument("--words", type=int, default=110, help="maximum number of words of a paragraph")
    parser.add_argument(
        "--rows", type=int, nargs=3, default=(200, 24, 64), help="maximum numbers of rows of the three splits"
    )
    parser.add_argument("--seed", type=int, default=13)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for split, n in zip(("train", "validation", "test"), arguments.rows, strict=True):
        rows = _rows(json.loads(getattr(arguments, split).read_text(encoding="utf-8"))["data"], arguments.words)
        random.Random(arguments.seed).shuffle(rows)
        path = arguments.folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[:n]), encoding="utf-8")
        n_without = sum(not row["answers"] for row in rows[:n])
        print(f"{path}: {len(rows[:n])} of {len(rows)} questions on short paragraphs, {n_without} without an answer")


def _rows(articles: list[dict[str, Any]], max_words: int) -> list[Row]:
    rows: list[Row] = []
    for article in articles:
        short = [part for part in article["paragraphs"] if len(part["context"].split()) <= max_words]
        for paragraph in short:
            for question in paragraph["qas"]:
                texts = list(dict.fromkeys(answer["text"] for answer in question["answers"]))
                row = {"id": question["id"], "title": article.get("title"), "question": question["question"]}
                row |= {"context": paragraph["context"], "answers": texts}
                others = [part["context"] for part in short if not any(text in part["context"] for text in texts)]
                if len(rows) % 4 == 3 and others:
                    row |= {"context": others[len(rows) % len(others)], "answers": []}
                rows.append(row)
    return rows


if __name__ == "__main__":
    main()
