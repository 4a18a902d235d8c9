"""From files, cards and the Hub to the rows of a task: read, mapped, checked, counted and fingerprinted."""

from ft_toolkit.data.load import LoadedData, check_sources, load_data

__all__ = ["LoadedData", "check_sources", "load_data"]
