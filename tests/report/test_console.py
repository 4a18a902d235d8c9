"""The last lines of a run on the console."""

import io
import json
import shutil

from rich.console import Console

from ft_toolkit.report.console import print_results


def printed(folder, width=80):
    results = {**json.loads((folder / "results.json").read_text()), "folder": str(folder)}
    console = Console(file=io.StringIO(), width=width)
    print_results(results, console)
    return console.file.getvalue()


def test_scores_comparisons_and_the_next_step(make_full_run):
    folder = make_full_run()
    text = printed(folder)
    for expected in (
        "accuracy 0.88 (95% interval 0.62 to 1.00) on 8 test examples\n",
        "  beats the majority baseline by 10 to 60 points (95% interval)\n",
        "  no significant difference from the tfidf baseline: -10 to 30 points (95% interval)\n",
        "  smallest detectable difference (5% level, 80% power): 3 points\n",
        "  optimistic: these rows also selected the checkpoint\n",
        "typos: 4 of 40 answers changed (10.0%, 95% interval 5.0% to 20.0%); accuracy 0.90 before, 0.80 after",
        "(2 more rows do not count: the tokenizer reverts the change)",
        "Reload check passed: a fresh process loaded the saved model and made the same predictions for 8 test rows",
        f"Report page: {(folder / 'report.html').as_uri()}\n",
        f"ftk predict {folder} fine\n",
    ):
        assert expected in text, expected
    assert text.index("8 test examples") < text.index("8 validation examples")


def test_the_table_fits_80_columns_and_shows_equal_metrics_once(make_run):
    def change(results, rows):
        for scores in results["scores"].values():
            for table in (scores["metrics"], *scores["baselines"].values()):
                table |= {f"{name}_micro": table["accuracy"] for name in ("f1", "precision", "recall")}

    text = printed(make_run(change=change))
    assert text.count("accuracy (= f1, precision, recall micro)") == 2
    table = [line for line in text.splitlines() if "baseline  " in line or "f1 macro" in line]
    assert len(table) == 6 and all(len(line) <= 80 and "…" not in line for line in table)


def test_rows_with_several_columns_are_predicted_from_a_file(make_run):
    assert "--input rows.jsonl" in printed(make_run("regression"))


def test_a_long_text_is_shortened_in_the_next_step(make_run):
    def change(results, rows):
        for row in rows:
            row["text"] = "it's  a long text " + "word " * 30

    text = printed(make_run(change=change))
    command = text.splitlines()[-1].partition("ftk predict ")[2]
    assert "it" in command and "long text word" in command and len(command.partition("run")[2]) < 75


def test_an_evaluation_has_no_next_step(make_run):
    folder = make_run(splits=("test",))
    results = json.loads((folder / "results.json").read_text())
    results |= {"kind": "evaluation", "evaluation": {"seconds": 1.0, "rows_per_second": 8.0, "peak_memory_mib": 1}}
    for name in ("training", "reference", "reload_proof"):
        results.pop(name)
    (folder / "results.json").write_text(json.dumps(results))
    shutil.rmtree(folder / "model")
    text = printed(folder)
    assert "Report page" in text and "ftk predict" not in text and "optimistic" not in text
