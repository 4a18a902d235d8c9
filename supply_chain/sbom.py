"""Write a software bill of materials (CycloneDX 1.6, JSON) of the installed packages: python supply_chain/sbom.py FILE

The components are ft-toolkit's dependencies and their dependencies, as this environment has them; `--extra NAME` adds an extra
of pyproject.toml. Everything is read from the metadata of the installed packages, without the network.
"""

import argparse
import json
import platform
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "ft-toolkit"


def dependencies_of(found: Distribution, extras: Iterable[str]) -> list[Requirement]:
    """Return the requirements of a package that apply to this environment and to some of its extras."""
    requirements = [Requirement(text) for text in found.requires or ()]
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [
        each
        for each in requirements
        if each.marker is None or any(each.marker.evaluate(environment) for environment in environments)
    ]


def collect(extras: Iterable[str]) -> tuple[dict[str, Distribution], dict[str, list[str]]]:
    """Return the installed packages by name, and the names that each depends on. Packages that are missing are left out."""
    packages: dict[str, Distribution] = {}
    edges: dict[str, set[str]] = {}
    queue, done = [(PROJECT, frozenset(extras))], set()
    while queue:
        name, wanted = queue.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        try:
            packages[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for requirement in dependencies_of(packages[name], wanted):
            other = canonicalize_name(requirement.name)
            edges.setdefault(name, set()).add(other)
            queue.append((other, frozenset(requirement.extras)))
    return packages, {name: sorted(edges.get(name, set()) & packages.keys()) for name in sorted(packages)}


def component(name: str, package: Distribution) -> dict[str, Any]:
    """Return a package as a component of CycloneDX."""
    metadata = package.metadata
    licence = metadata.get("License-Expression")
    named = licence or next((line for line in (metadata.get("License") or "").splitlines() if line.strip()), None)
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or () if "License ::" in text]
    licences: list[dict[str, Any]] = []
    if licence is not None:
        licences = [{"expression": licence}]
    elif named is not None or classifiers:
        licences = [{"license": {"name": text[:200]}} for text in ([named] if named else classifiers)]
    purl = f"pkg:pypi/{name}@{package.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": package.version,
        "purl": purl,
        **({"description": metadata["Summary"]} if metadata.get("Summary") else {}),
        **({"licenses": licences} if licences else {}),
    }


def bill_of_materials(extras: Iterable[str]) -> dict[str, Any]:
    """Return the bill of materials of ft-toolkit in this environment."""
    packages, edges = collect(extras)
    components = {name: component(name, package) for name, package in sorted(packages.items())}
    project = {**components.pop(PROJECT), "type": "application"}
    reference = {name: each["bom-ref"] for name, each in {**components, PROJECT: project}.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": project,
            "properties": [{"name": "python", "value": platform.python_version()}],
        },
        "components": list(components.values()),
        "dependencies": [
            {"ref": reference[name], "dependsOn": [reference[other] for other in others]}
            for name, others in edges.items()
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--extra", action="append", default=[])
    arguments = parser.parse_args()
    bill = bill_of_materials(arguments.extra)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
    print(f"{arguments.file}: {len(bill['components'])} components")


if __name__ == "__main__":
    main()
