"""Compare the files of a data set with the hashes that the Hub announced, before `datasets` reads them."""

import functools
import time
from pathlib import Path
from typing import Any

from ft_toolkit.core.hub_client import verify_files


@functools.cache
def check_downloads() -> None:
    """Let `datasets` check the files of every data set that it downloads in this process."""
    import datasets
    from datasets.utils.py_utils import NestedDataStructure

    class CheckedDownloads(datasets.DownloadManager):  # type: ignore[misc] # datasets has no types
        """Downloads whose contents are compared with their hashes."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._started = time.time()

        def download(self, url_or_urls: Any) -> Any:
            """Download files to the Hub's cache, and check them. Raises UntrustedAnswerError."""
            paths = super().download(url_or_urls)
            files = [Path(str(path)) for path in NestedDataStructure(paths).flatten()]
            for snapshot in {snapshot for file in files if (snapshot := _snapshot_of(file)) is not None}:
                verify_files(snapshot, self._started)
            return paths

    datasets.builder.DownloadManager = CheckedDownloads


def _snapshot_of(path: Path) -> Path | None:
    """Return the folder of the commit in the Hub's cache that holds a file; None for a file that is not in the cache."""
    return next((folder for folder in path.parents if folder.parent.name == "snapshots"), None)
