"""The note on rows without text, which training skips."""

from ft_toolkit.core.counted_notes import CountedNote


def blank_notes(n_blank: int, n_rows: int) -> list[str]:
    """Return a note on the blank rows; none without such rows."""
    if not n_blank:
        return []
    return [
        CountedNote(
            "blank rows",
            {"blank": n_blank},
            lambda counts, n_rows: f"{counts['blank']} of {n_rows} rows are blank and were skipped",
            n_rows,
        )
    ]
