"""Random values, rows and files: what users have, what other tools write, and damage."""

import csv
import io
import json
from typing import Any

from hypothesis import strategies as st

# Texts with which readers of other toolkits were found to fail.
ODD_TEXTS = [
    "", " ", "\t", "\ufeff", "\u2028", "\u0085", "\x0c", "\x00", "\u00a0", "\u200d", "\ud800", "\udfff",
    "e\u0301", "👩‍👩‍👧", "مرحبا", "ประเทศไทย", "NaN", "nan", "null", "None", "-", "O", "B-PER", "I-PER", "B-",
    "1", "-1", "01", "1.0", "1e999", "inf", "true", "TRUE", "9" * 5000, "a|b", "a,b", "a;b", "a#b",
    "['a', 'b']", '["a"', "[1 0 0]", "[[[", "{}", "{'text': ['a']}", "[" * 3000, "__label__a b", "a\tb",
    "a\nb", 'a"b', "'", '""', "# text = a", "-DOCSTART- O", "a" * 3000,
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")]),
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=12),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
cells = st.one_of(
    st.sampled_from(ODD_TEXTS), st.text(max_size=20), values.map(repr), values.map(lambda value: json_text(value))
)
names = st.sampled_from(
    ["text", "label", "tokens", "tags", "entities", "question", "context", "answers", "document", "summary", "source", "target",
     "id", "start", "end", "labels", "data", "translation", "spans", "annotations", "paragraphs", "is_impossible", "x", ""]
)  # fmt: skip
records = st.lists(st.dictionaries(names, values, max_size=5), max_size=6)
# Documents in which the known keys are nested in any way, as in exports of annotation tools.
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=14,
)


def json_text(value: Any) -> str:
    """Return a value as JSON; NaN and infinity as Python writes them."""
    return json.dumps(value, ensure_ascii=False)


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Return a csv or tsv file, with rows that may be too short or too long."""
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t|")),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    width = draw(st.integers(1, 4))
    if draw(st.booleans()):
        writer.writerow([draw(names) for _ in range(width)])
    for _ in range(draw(st.integers(0, 5))):
        writer.writerow([draw(cells) for _ in range(max(1, width + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))))])
    return text.getvalue()


@st.composite
def tagged_lines(draw: st.DrawFn) -> str:
    """Return a CoNLL file, with comments, document marks, blank lines and missing columns."""
    separator = draw(st.sampled_from(["\t", " ", "  ", "\t\t"]))
    lines = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["word", "word", "word", "blank", "comment", "document", "odd"]))
        word, tag = (
            draw(st.text(min_size=1, max_size=5)),
            draw(st.sampled_from(["O", "B-PER", "I-PER", "S-X", "B-", "7", ""])),
        )
        lines.append(
            {
                "word": separator.join([word, *draw(st.lists(st.sampled_from(["NN", "_", "-X-"]), max_size=2)), tag]),
                "blank": draw(st.sampled_from(["", " ", "\t"])),
                "comment": f"# {word}",
                "document": draw(st.sampled_from(["-DOCSTART-", "-DOCSTART- -X- O O", "# newdoc id = a"])),
                "odd": draw(cells),
            }[kind]
        )
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


texts = st.one_of(
    tables(),
    tagged_lines(),
    records.map(json_text),
    records.map(lambda rows: "\n".join(map(json_text, rows))),
    documents.map(json_text),
    st.lists(cells, max_size=5).map("\n".join),
)


@st.composite
def damaged(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """Return the bytes of a file with up to three pieces cut out, replaced or repeated."""
    data = draw(contents)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        piece = draw(st.one_of(st.just(b""), st.binary(max_size=6), st.just(data[start:end] * 2)))
        data = data[:start] + piece + data[end:]
    return data


def encoded(text: str, encoding: str) -> bytes:
    """Return a text in an encoding; characters that it lacks become question marks, lone surrogates stay in UTF-8."""
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


text_files = st.builds(
    encoded, texts, st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "shift_jis"])
)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """Return a copy of a JSON document in which up to three values are replaced, removed, repeated or moved."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            return draw(values)
        parent, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "number", "nest", "add", "root"]))
        if kind == "replace":
            parent[key] = draw(values)
        elif kind == "remove":
            del parent[key]
        elif kind == "number":
            parent[key] = draw(st.sampled_from([-1, 0, 1, 2, 7, 10**7, 10**12, 2**31, 2**63, 0.5, -1e300]))
        elif kind == "nest":
            parent[key] = draw(
                st.sampled_from([[parent[key]], {"a": parent[key]}, [], {}, [[]], [None], str(parent[key])])
            )
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(names)] = draw(values)
        elif kind == "root" and draw(st.integers(0, 9)) == 0:
            return draw(values)
    return document


def _places(value: Any) -> Any:
    """Yield the containers of a JSON document with each of their keys."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


DEEP = ["[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900, "1" * 5000, "", "null", "\ufeff{}"]


@st.composite
def damaged_json(draw: st.DrawFn, document: Any) -> bytes:
    """Return the bytes of a changed JSON document, some of them damaged as text."""
    kind = draw(st.sampled_from(["changed", "changed", "changed", "damaged", "odd"]))
    if kind == "odd":
        return encoded(draw(st.sampled_from(DEEP)), "utf-8")
    text = json_text(draw(changed(document))) if kind == "changed" else json.dumps(document)
    data = encoded(text, "utf-8")
    return draw(damaged(st.just(data))) if kind == "damaged" else data


def is_clear(message: str) -> bool:
    """Return whether a message to a user has a text, and no line that fills a screen."""
    return bool(message.strip()) and max(map(len, message.split("\n"))) < 3000 and "Traceback" not in message
