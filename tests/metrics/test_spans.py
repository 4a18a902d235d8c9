"""Spans from tags, and their scores: parity with seqeval on random sequences, legal and illegal, per type too."""

import random
import warnings
from collections import Counter

import numpy as np
import pytest
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from ft_toolkit.metrics.spans import (
    count_spans,
    f1_boundary,
    f1_macro,
    find_scheme,
    micro,
    per_class,
    read_tags,
    write_tags,
)

TYPES = ("LOC", "MISC", "PER")


def random_tags(rng, length, prefixes="BI"):
    """Return tags without any regard for what is legal."""
    return [rng.choice(["O", *(f"{p}-{t}" for p in prefixes for t in TYPES)]) for _ in range(length)]


def random_spans(rng, length):
    """Return spans that stand apart, some of them side by side."""
    spans, at = [], 0
    while at < length:
        size = rng.randint(1, 4)
        if rng.random() < 0.5 and at + size <= length:
            spans.append((at, at + size, rng.choice(TYPES)))
        at += size
    return spans


def noisy(rng, tags):
    return [tag if rng.random() < 0.8 else other for tag, other in zip(tags, random_tags(rng, len(tags)), strict=True)]


def corpus(seed, n=60):
    """Return true tags, which are legal IOB2, and predicted ones, which are not, of n sentences (some empty of entities)."""
    rng = random.Random(seed)
    lengths = [rng.randint(1, 12) for _ in range(n)]
    true = [write_tags(random_spans(rng, length), length) for length in lengths]
    return true, [noisy(rng, tags) for tags in true]


def scheme_of(sequences):
    return find_scheme(sum((read_tags(tags)[1] for tags in sequences), Counter()))


def arrays(true, predicted):
    counts = [count_spans(read_tags(p)[0], read_tags(t)[0], TYPES) for t, p in zip(true, predicted, strict=True)]
    return np.array(counts)


def report(true, predicted, **kwargs):
    with warnings.catch_warnings():  # seqeval warns of 0/0
        warnings.simplefilter("ignore")
        return classification_report(true, predicted, output_dict=True, zero_division=0, **kwargs)


def check_against(expected, found):
    """Hold our scores against a report of seqeval: over all types, their mean, and each type."""
    for score, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        assert micro(score)(found, found) == pytest.approx(expected["micro avg"][name])
    assert f1_macro(found, found) == pytest.approx(expected["macro avg"]["f1-score"])
    for row in per_class(found, TYPES):
        theirs = expected.get(row["label"], {"precision": 0, "recall": 0, "f1-score": 0, "support": 0})
        assert [row[key] for key in ("precision", "recall", "f1", "support")] == pytest.approx(
            [theirs[key] for key in ("precision", "recall", "f1-score", "support")]
        )


@pytest.mark.parametrize("seed", range(30))
def test_scores_are_those_of_seqeval(seed):
    true, predicted = corpus(seed)
    found = arrays(true, predicted)
    check_against(report(true, predicted), found)  # illegal tags as they are, in conlleval's reading
    repaired = [write_tags(read_tags(tags)[0], len(tags)) for tags in predicted]
    assert repaired != predicted
    check_against(report(true, repaired, mode="strict", scheme=IOB2), found)


@pytest.mark.parametrize("seed", range(30))
def test_spans_of_any_tags_are_those_of_seqeval(seed):
    rng = random.Random(seed)
    for _ in range(20):
        tags = random_tags(rng, rng.randint(0, 15), "BIES")
        assert [(name, start, end - 1) for start, end, name in read_tags(tags)[0]] == get_entities(tags)


@pytest.mark.parametrize(("name", "scheme"), [("IOB1", IOB1), ("IOB2", IOB2), ("BIOES", IOBES), ("BILOU", BILOU)])
def test_legal_tags_of_every_scheme_are_read_as_seqeval_reads_them_strictly_and_are_recognised(name, scheme):
    rng = random.Random(5)
    sequences, wanted = [], []
    for _ in range(200):
        length = rng.randint(1, 12)
        spans = random_spans(rng, length)
        tags = ["O"] * length
        for start, end, label in spans:
            size = end - start
            if name == "IOB1":
                beside = start and tags[start - 1][2:] == label
                letters = ("B" if beside else "I") + "I" * (size - 1)
            elif name == "IOB2":
                letters = "B" + "I" * (size - 1)
            else:
                single, last = ("S", "E") if name == "BIOES" else ("U", "L")
                letters = single if size == 1 else "B" + "I" * (size - 2) + last
            tags[start:end] = [f"{letter}-{label}" for letter in letters]
        theirs = sorted((e.start, e.end, e.tag) for e in Entities([tags], scheme).entities[0])
        assert theirs == spans
        sequences.append(tags)
        wanted.append(spans)
    assert scheme_of(sequences) == name
    read = [read_tags(tags) for tags in sequences]
    assert [(spans, counts[name]) for spans, counts in read] == [(spans, 0) for spans in wanted]


@pytest.mark.parametrize(
    ("scheme", "tags", "illegal"),
    [
        ("IOB2", "O I-A I-A O", 1),
        ("IOB2", "B-A I-B O I-A", 2),
        ("IOB2", "B-A B-A I-A O", 0),
        ("IOB1", "I-A B-A I-B O", 0),
        ("IOB1", "B-A O I-A O B-A", 2),
        ("BIOES", "S-A B-A E-A O", 0),
        ("BIOES", "B-A O", 1),
        ("BIOES", "B-A I-A", 1),
        ("BIOES", "O E-A I-B E-B", 2),
        ("BILOU", "U-A B-A I-A L-A", 0),
        ("BILOU", "B-A U-A L-A", 2),
    ],
)
def test_illegal_tags_are_counted(scheme, tags, illegal):
    assert read_tags(tags.split())[1][scheme] == illegal


def test_a_mixture_takes_the_scheme_with_fewer_illegal_tags():
    assert scheme_of([["B-A", "I-A"], ["B-A", "O"], ["O", "I-A"]]) == "IOB2"
    assert scheme_of([["I-A", "I-A"], ["I-A", "O"], ["O", "B-A"]]) == "IOB1"
    assert scheme_of([]) == scheme_of([["O"]]) == "IOB2"


def test_tags_of_spans_come_back():
    rng = random.Random(1)
    for _ in range(100):
        spans = random_spans(rng, 12)
        read, counts = read_tags(write_tags(spans, 12))
        assert read == spans and counts["IOB2"] == 0


def test_boundaries_without_labels():
    found = np.array([count_spans([(0, 2, "PER"), (3, 4, "LOC")], [(0, 2, "LOC"), (3, 5, "LOC")], TYPES)])
    assert micro("f1")(found, found) == 0
    assert f1_boundary(found, found) == 0.5


def test_without_spans_the_scores_are_0():
    found = np.array([count_spans([], [], TYPES)] * 3)
    for metric in (micro("f1"), micro("precision"), micro("recall"), f1_macro, f1_boundary):
        assert metric(found, found) == 0.0
    assert [row["support"] for row in per_class(found, TYPES)] == [0, 0, 0]


def test_counts_add_up_so_that_resampling_rows_resamples_sentences():
    true, predicted = corpus(3)
    chosen = np.random.default_rng(0).integers(0, len(true), len(true))
    again = arrays([true[i] for i in chosen], [predicted[i] for i in chosen])
    assert micro("f1")(again, again) == micro("f1")(arrays(true, predicted)[chosen], again)
