"""Export a finished run as a transformers folder or as a graph, and compare the export with the run."""
