"""The section with the scores per class."""


def test_many_classes_are_sorted_by_f1(make_run, page_of):
    page = page_of(make_run("many", splits=("test",)))
    assert "Sorted by F1, the weakest class first." in page.text
    section = page.section("classes")
    assert section.index("intent_03") < section.index("intent_00")


def test_few_classes_keep_their_order(make_run, page_of):
    text = page_of(make_run(splits=("test",))).text
    assert "label precision recall F1 examples bad 1.00 0.75 0.86 4 good 0.80 1.00 0.89 4" in text
