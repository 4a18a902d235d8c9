"""The section on gaps between groups."""

from ft_toolkit.core.run_scores import GroupTable
from ft_toolkit.report.sections.groups import gap_sentence


def test_gaps_are_shown_with_their_interval(make_full_run, page_of):
    text = page_of(make_full_run()).text
    assert (
        "The largest gap is 0.30 (good: x 0.70, y 0.40; 95% interval of the difference 0.10 to 0.50). The gap is significant"
        in text
    )
    assert "On test: the groups of 'dialect' differ in demographic parity." in text
    assert "Not compared: fewer than two groups have enough rows." in text


def test_a_gap_by_chance_is_not_shown():
    gap = {"gap": 0.1, "low": -0.1, "high": 0.2, "highest": "x", "lowest": "y", "rates": {"x": 0.5, "y": 0.4}}
    labels = [{"label": f"l{i}", **gap} for i in range(3)]
    gaps = {"p_value": 0.4, "shown": False, "labels": labels}
    left_out = {"values": 0, "rows": 0}
    table = {"column": "dialect", "groups": [], "left_out": left_out, "labels": [], "equal_opportunity": None}
    sentence = gap_sentence(GroupTable.model_validate({**table, "demographic_parity": gaps}), "demographic_parity")
    assert sentence.startswith("The largest gap of 3 labels is 0.1000 (l0: x 0.5000, y 0.4000;")
    assert sentence.endswith(
        "The gap is not significant: 40.0% of random permutations of the groups have a gap at least as large."
    )
