"""Data for a task: read files, data cards and Hub data sets; map columns; hold out, check, audit and fingerprint rows."""

from ft_toolkit.data.load import check_sources, load_data
from ft_toolkit.data.splits import LoadedData

__all__ = ["LoadedData", "check_sources", "load_data"]
