"""Between texts and tokens: what tasks need to cut, pack, align and generate texts."""
