"""The machine, the precision, the exact model and the package versions."""

from typing import Any

from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section


def _build(run: RunFiles) -> dict[str, Any] | None:
    environment = run.environment
    machine, model = environment.machine, environment.model
    devices, device = ", ".join(map(str, environment.devices)), environment.device
    facts = {
        "Started": environment.started,
        "Device": f"{devices} ({device})" if devices else device,
        "Processor": machine.processor,
        "Cores": machine.cores,
        "Memory": f"{machine.memory_gib} GiB" if machine.memory_gib else None,
        "System": machine.system,
        "Python": machine.python,
        "Processes": environment.processes if device else None,
        "Mixed precision": environment.mixed_precision,
        "Model": model.name,
        "Model commit": model.commit,
        "Model sha256": model.sha256,
        "Recipe sha256": environment.recipe_sha256,
    }
    facts = {name: str(value) for name, value in facts.items() if value is not None}
    versions = run.versions
    return {"facts": list(facts.items()), "versions": list(versions.items())} if facts or versions else None


SECTION = Section(order=95, title="Environment", build=_build)
