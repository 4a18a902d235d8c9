"""Wrong labels and sets of labels: the most confident first, with the probabilities that matter."""

from ft_toolkit.tasks.display.labels import wrong_label_sets, wrong_labels


def record(number, true_label, label, score=0.9, text="x", probabilities=None):
    answer = {"gold": true_label, "label": label, "score": score, "probabilities": probabilities or {}}
    return {"split": "test", "id": str(number), "text": text, **answer}


def test_a_wrong_label_is_shown_with_its_probability_and_that_of_the_true_label():
    records = [record(0, "good", "good"), record(1, "bad", "good", 0.8, probabilities={"good": 0.8, "bad": 0.2})]
    found = wrong_labels(records)
    assert (found.n_wrong, found.summary) == (1, "1 of 2 examples are wrong.")
    (example,) = found.examples
    assert (example.example_id, example.reference, example.predicted) == ("1", "bad", "good")
    assert example.remark == "probability 0.800, of the true label 0.200"


def test_the_twenty_most_confident_errors_are_shown():
    found = wrong_labels([record(number, "a", "b", number / 100) for number in range(50)])
    assert (found.n_wrong, found.summary) == (50, "50 of 50 examples are wrong; shown are the 20 most confident.")
    assert [example.example_id for example in found.examples] == [str(number) for number in range(49, 29, -1)]


def test_wrong_sets_name_the_missed_and_the_added_labels():
    records = [
        {"id": "1", "text": "a contract", "gold": ["law", "tax"], "labels": ["law"]}
        | {"probabilities": {"art": 0.1, "law": 0.9, "tax": 0.02}},
        {"id": "2", "text": "a painting", "gold": ["art"], "labels": ["art", "tax"]}
        | {"probabilities": {"art": 0.95, "law": 0.1, "tax": 0.6}},
        {"id": "3", "text": "nothing", "gold": [], "labels": [], "probabilities": {"art": 0.1, "law": 0.1, "tax": 0.1}},
    ]
    examples = wrong_label_sets(records, {"art": 0.5, "law": 0.5, "tax": 0.5}).examples
    assert [(e.example_id, e.reference, e.predicted, e.remark) for e in examples] == [
        ("1", "law, tax", "law", "missed tax (0.020)"),
        ("2", "art", "art, tax", "wrongly added tax (0.600)"),
    ]


def test_a_long_text_is_shortened_and_says_so():
    (example,) = wrong_labels([record(1, "a", "b", text="y" * 700)]).examples
    assert example.texts[0][1][0].text == "y" * 600 + "… (100 more characters)"
