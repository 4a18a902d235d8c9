"""The section with the confusion matrix."""


def test_few_labels_give_a_table_with_shares(make_run, page_of):
    page = page_of(make_run(splits=("test",)))
    assert "bad 3 75% 1 25%" in page.text and "good 0 0% 4 100%" in page.text


def test_many_labels_give_a_grid_and_the_most_frequent_confusions(make_run, page_of):
    page = page_of(make_run("many", splits=("test",)))
    assert 'class="matrix"' not in page.source
    assert page.tags.count("rect") == 77 + 2
    assert "intent_03 intent_05 4 31%" in page.text
    assert page.text.index("intent_03 intent_05") < page.text.index("intent_07 intent_01")
