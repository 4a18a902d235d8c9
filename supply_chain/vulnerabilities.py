"""Compare constraints.txt with known vulnerabilities: python supply_chain/vulnerabilities.py [--database FILE.zip]

The database is the export of OSV (https://osv.dev) for PyPI: all.zip, a JSON file per vulnerability. Without --database, it is
downloaded. The comparison itself needs no network.

Exit codes: 0 no vulnerability is known; 1 there are vulnerabilities, which are printed; 3 they could not be checked, because
there is no database.
"""

import argparse
import json
import re
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
NOT_CHECKED = 3


def read_pins(path: Path) -> dict[str, str]:
    """Return the version of each package in a constraints file."""
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;#]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Return whether a version is in a list or in a range of OSV's schema."""
    if version in affected.get("versions", ()):
        return True
    wanted = Version(version)
    for each in affected.get("ranges", ()):
        if each.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in sorted(each["events"], key=_position):
            kind, bound = next(iter(event.items()))
            if kind == "introduced":
                inside = inside or wanted >= _version(bound)
            elif wanted > _version(bound) or (kind == "fixed" and wanted == _version(bound)):
                inside = False
        if inside:
            return True
    return False


def _position(event: Mapping[str, str]) -> tuple[Version, bool]:
    return _version(next(iter(event.values()))), "introduced" not in event


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:  # "0" means from the first version on; other texts are of another version scheme
        return Version("0")


def find_vulnerabilities(pins: Mapping[str, str], database: Path) -> Iterator[str]:
    """Yield a line for each vulnerability of a pinned version. Raises OSError or ValueError for a damaged database."""
    with zipfile.ZipFile(database) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        if not names:
            raise ValueError("the archive has no JSON files")
        for name in sorted(names):
            record = json.loads(archive.read(name))
            if record.get("withdrawn"):
                continue
            for affected in record.get("affected", ()):
                package = affected.get("package", {})
                key = canonicalize_name(package.get("name", ""))
                if package.get("ecosystem") == "PyPI" and key in pins and is_affected(pins[key], affected):
                    aliases = ", ".join(record.get("aliases", ())) or "no alias"
                    yield f"{key} {pins[key]}: {record['id']} ({aliases}): {record.get('summary', 'no summary')}"
                    break


def download(folder: Path) -> Path:
    """Download the database to a folder, and return its path. Raises OSError."""
    path = folder / "all.zip"
    with urllib.request.urlopen(DATABASE, timeout=60) as answer, path.open("wb") as file:
        while chunk := answer.read(2**20):
            file.write(chunk)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, help="all.zip of OSV for PyPI. Default: download it")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    arguments = parser.parse_args()
    pins = read_pins(arguments.constraints)
    with tempfile.TemporaryDirectory() as folder:
        try:
            lines = list(find_vulnerabilities(pins, arguments.database or download(Path(folder))))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            print(
                f"NOT CHECKED: the database of vulnerabilities cannot be read ({error}). Download {DATABASE} on a machine with "
                "access to it, and pass the file with --database",
                file=sys.stderr,
            )
            return NOT_CHECKED
    for line in lines:
        print(line)
    print(f"{len(pins)} packages, {len(lines)} known vulnerabilities")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
