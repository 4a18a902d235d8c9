"""Text processing that several tasks share: windows, words, labels, answers, blocks and generation."""
