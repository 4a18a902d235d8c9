"""Words of wrong examples are shaded by their attributions."""

import json


def test_words_are_shaded_by_their_contribution(make_run, page_of):
    def change(results, rows):
        for row in rows:
            row["text"] = "awful <b>but</b> cheap" if row["id"] == "r1" else row["text"]

    folder = make_run(splits=("test",), change=change)
    words = [(0, 5, -0.5), (6, 16, 0.01), (17, 22, 1.0)]
    texts = {"text": [{"start": a, "end": b, "weight": weight} for a, b, weight in words]}
    line = {"split": "test", "id": "r1", "label": "good", "texts": texts}
    (folder / "attributions.jsonl").write_text(json.dumps(line) + "\n")
    source = page_of(folder).source
    assert '<span class="against" style="--share:0.50">awful</span> &lt;b&gt;but&lt;/b&gt; ' in source
    assert '<span class="toward" style="--share:1.00">cheap</span>' in source
    assert "strongest for good: cheap · strongest against good: awful" in source
