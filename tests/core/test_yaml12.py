"""The YAML traps: what PyYAML reads one way and a person another."""

import math

import pytest
import yaml

from ft_toolkit.core.yaml12 import YamlError, dump_yaml, parse_value, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("3.0e-4", 3e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2", -2),
        ("+2", 2),
        ("010", 10),
        ("08", 8),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("2024-01-31", "2024-01-31"),
        ("1e5x", "1e5x"),
        ("e5", "e5"),
        (".", "."),
        ("'3e-4'", "3e-4"),
        ('"no"', "no"),
        ("[a, 1, no]", ["a", 1, "no"]),
        ("{r: 8}", {"r": 8}),
        ("distilbert/distilbert-base-uncased", "distilbert/distilbert-base-uncased"),
        ("C:\\data\\train.csv", "C:\\data\\train.csv"),
    ],
)
def test_a_value_is_what_a_person_reads(text, value):
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_nan_are_numbers():
    assert parse_value("-.inf") == -math.inf
    assert math.isnan(parse_value(".nan"))


def test_every_key_has_its_line():
    value, lines = parse_yaml(
        "# a comment\nmodel:\n  name: x\ndata: {card: y,\n  columns: {text: a}}\nlist:\n  - 1\n  - 2\n"
    )
    assert value == {"model": {"name": "x"}, "data": {"card": "y", "columns": {"text": "a"}}, "list": [1, 2]}
    assert lines[("model",)] == 2
    assert lines[("model", "name")] == 3
    assert lines[("data", "card")] == 4
    assert lines[("data", "columns", "text")] == 5
    assert lines[("list", "1")] == 8


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key 'a' is duplicate (first on line 1)"),
        ("m:\n  r: 1\n  s: 2\n  r: 3", 4, "key 'm.r' is duplicate (first on line 2)"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']", 2, "tags are not supported"),
        ("a: !!int abc", 1, "tags are not supported"),
        ("a: !local x", 1, "tags are not supported; remove '!local'"),
        ("a: &x [1]\nb: *x", 1, "anchors and aliases (&x, *x) are not supported; repeat the value"),
        ("a: &x [*x]", 1, "anchors"),
        ("data: *.csv", 1, "expected alphabetic or numeric character"),
        ("a: 1\n2: x", 2, "a key must be text; put it in quotes: '2'"),
        ("true: x", 1, "a key must be text; put it in quotes: 'true'"),
        ("[a, b]: x", 1, "a key must be plain text"),
        ("a: 1\nb: {c: 1", 2, "expected ',' or '}'"),
        ("a:\n  b: 1\n c: 2", 3, "while parsing a block mapping, expected <block end>"),
        ("a: b: c", 1, "mapping values are not allowed here"),
        ("a:\n\tb: 1", 2, "'\\t'"),
        ("a: 'x", 1, "unexpected end of stream"),
        ("a: 1\n---\nb: 2", 2, "expected a single document in the stream, but found another document"),
        ("a: 1\nb: \x07", 2, "the character U+0007 is not allowed"),
    ],
)
def test_what_is_refused_is_refused_with_its_line(text, line, problem):
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert caught.value.line == line
    assert problem in caught.value.problem
    assert "\n" not in caught.value.problem


def test_a_merge_key_is_a_key_like_any_other():
    assert parse_yaml("<<: {a: 1}")[0] == {"<<": {"a": 1}}


def test_an_empty_document_is_none():
    assert parse_yaml("") == (None, {})
    assert parse_yaml("# only a comment\n")[0] is None


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    assert parse_yaml("\ufefftask: x")[0] == {"task": "x"}


# fmt: off
TRAPS = [
    "08", "1e5", "3e-4", "5.", ".5", "no", "yes", "True",
    "null", "~", "1:30", "0x1f", "1_000", "2024-01-31", "<<", "=",
    "y", "-1", "+.inf", ".nan", "", " a", "a: b", "é",
]
# fmt: on


def test_text_that_looks_like_something_else_survives_the_round_trip():
    document = {"labels": TRAPS, "rate": 5e-05, "seed": 8, "none": None, "flag": True, "small": 1e-7, "empty": {}}
    assert parse_yaml(dump_yaml(document))[0] == document


def test_what_is_written_means_the_same_to_a_yaml_1_1_reader():
    assert yaml.safe_load(dump_yaml(TRAPS)) == TRAPS


@pytest.mark.parametrize("letter", ["\x85", "\u2028", "\ufeff", "\x1b", "\x00", "\t", "\r", "\n"])
def test_every_letter_is_read_as_it_was_written(letter):
    for text in (letter, f"a{letter}b", f"{letter} #x"):
        assert parse_yaml(dump_yaml({"a": text}))[0] == {"a": text}
