"""The overlap baseline of question answering: the sentence that shares the most words with the question."""

import re

from ft_toolkit.metrics import squad

# A sentence ends with a mark before white space, with a mark of scripts without spaces, or at the end of its line.
_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?]+(?=\s|$)|[\u3002\uff01\uff1f]|(?=\n)|$)")


def overlapping_sentence(question: str, context: str, *, allow_none: bool) -> tuple[int, int] | None:
    """Return start and end of the sentence that shares the most different words with the question; ties go to the shortest.

    Returns None for a context without a sentence and, with `allow_none`, when no word is shared.
    """
    by_character = squad.is_unspaced(context)
    question_words = set(squad.words(question, by_character=by_character))
    best, best_score = None, (-1, 0)
    for match in _SENTENCE.finditer(context):
        n_shared = len(question_words & set(squad.words(match.group(), by_character=by_character)))
        if (score := (n_shared, -len(match.group()))) > best_score:
            best, best_score = match, score
    if best is None or (allow_none and best_score[0] == 0):
        return None
    return best.start(), best.start() + len(best.group().rstrip())
