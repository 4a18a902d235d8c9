"""spaCy's binary training files (.spacy, a DocBin), read with spaCy (extra `spacy`)."""

import zlib

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows, Source
from ft_toolkit.data.layouts.base import plain_labels
from ft_toolkit.data.layouts.spacy_tuples import labels_of


def read(source: Source) -> RawRows:
    """Return one row per document: `text`, `entities` if any document has one, and `label` if any has categories.

    Raises DataError.
    """
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError:
        raise DataError(
            f"{source.name}: reading .spacy files needs the package spacy: pip install 'ft-toolkit[spacy]'"
        ) from None
    try:
        documents = list(DocBin().from_bytes(source.data).get_docs(spacy.blank("xx").vocab))
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{source.name}: not a readable .spacy file ({error}). Write or download it again") from None
    has_entities, has_labels = any(doc.ents for doc in documents), any(doc.cats for doc in documents)
    rows: RawRows = []
    for doc in documents:
        entities = [{"start": ent.start_char, "end": ent.end_char, "label": ent.label_} for ent in doc.ents]
        rows.append(
            {
                "text": doc.text,
                **({"entities": entities} if has_entities else {}),
                **({"label": labels_of(doc.cats)} if has_labels else {}),
            }
        )
    if has_labels:
        plain_labels(rows, "label")
    if any(doc.spans for doc in documents):
        source.notes.append("the spans of doc.spans are not read, only doc.ents and doc.cats")
    return rows


FORMAT = Format(name="spacy", suffixes=(".spacy",), read=read, is_text=False)
