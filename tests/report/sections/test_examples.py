"""The section with wrong and correct examples."""


def test_errors_of_numbers_are_ordered_by_size_and_show_both_texts(make_run, page_of):
    text = page_of(make_run("regression", splits=("test",))).text
    assert "Largest errors" in text
    assert "text a cat text pair a dog true 1.5 predicted 4 off by 2.5" in text
    assert text.index("off by 2.5") < text.index("off by 0.75")


def test_a_few_correct_examples_are_chosen_by_a_hash(make_run, page_of):
    def many(results, rows):
        right = next(row for row in rows if row["id"] == "r2")
        rows += [{**right, "id": f"x{i}", "text": f"dull {i}"} for i in range(30)]

    section = page_of(make_run(splits=("test",), change=many)).section("examples")
    assert "5 of 33, chosen by a hash of the id, not by quality." in section
    correct = section.partition("Correct examples")[2]
    assert correct.count("<li>") == 5 and correct.count("predicted <b>bad</b>") + correct.count("<b>good</b>") == 5
    assert "awful" in section and "awful" not in correct


def test_a_split_without_correct_examples_has_no_list_of_them(make_run, page_of):
    def all_wrong(results, rows):
        for row in rows:
            row["gold"] = "bad" if row["label"] == "good" else "good"

    assert "Correct examples" not in page_of(make_run(change=all_wrong)).text


def test_columns_of_slices_are_in_the_remark(make_full_run, page_of):
    assert "probability 0.800, of the true label 0.200 · source mail" in page_of(make_full_run()).text
