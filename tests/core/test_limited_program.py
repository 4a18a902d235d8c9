"""Untrusted programs: what they can do, and what they cannot."""

from pathlib import Path

import pytest

from ft_toolkit.core.limited_program import Limits, refusal, run_limited

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(refusal() is not None, reason=f"code cannot run with limits here: {refusal()}"),
]

HARMLESS = {
    "nothing": "",
    "an assertion": "assert 1 + 1 == 2",
    "imports": "import collections, dataclasses, decimal, heapq, json, math, random, re\nassert json.loads('[1]') == [1]",
    "files of its folder": (
        "import os\nopen('a', 'w').write('x')\nassert open('a').read() == 'x'\nos.mkdir('d')\nos.rename('a', 'd/b')"
    ),
    "a thread": "import threading\nx = []\nt = threading.Thread(target=lambda: x.append(1))\nt.start()\nt.join()\nassert x",
    "no environment": "import os\nassert set(os.environ) <= {'PYTHONHASHSEED', 'LC_CTYPE'}",
    "a closed folder": "import os\nos.mkdir('d', 0)",
}
FAILING = {
    "a wrong assertion": "assert False",
    "an exit without the end": "import sys\nsys.exit(0)",
    "a hard exit": "import os\nos._exit(0)",
    "no Python": "def f(:",
    "a null byte": "x = 'a\0b'",
    "deep nesting": "(" * 100_000,
    "a crash": "import ctypes\nctypes.string_at(0)",
    "input": "assert input()",
    "much memory": "x = b'a' * (2 << 30)",
    "more and more memory": "x = []\nwhile True:\n    x.append(bytearray(1 << 26))",
    "a big file": "f = open('big', 'wb')\nwhile True:\n    f.write(b'a' * (1 << 20))",
    "many open files": "x = [open(str(i), 'w') for i in range(1000)]",
    "a fork bomb": "import os\nwhile True:\n    os.fork()",
    "a fork by number": "import ctypes\nassert ctypes.CDLL(None).syscall(57) >= 0",
    "a bomb of threads": (
        "import threading as t, time\nwhile True:\n    t.Thread(target=time.sleep, args=(99,), daemon=True).start()"
    ),
    "another program": "import subprocess\nsubprocess.run(['true'])",
    "its replacement": "import os\nos.execv('/bin/true', ['true'])",
    "a socket": "import socket\nsocket.socket()",
    "io_uring": "import ctypes\nassert ctypes.CDLL(None).syscall(425, 8, 0) >= 0",
    "a signal to its parent": "import os\nos.kill(os.getppid(), 9)",
    "a trace of its parent": "import ctypes, os\nassert ctypes.CDLL(None).syscall(101, 16, os.getppid(), 0, 0) == 0",
    "higher limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (999, 999))",
    "the environment of processes": "open('/proc/self/environ').read()",
    "the list of users": "open('/etc/passwd').read()",
}
OUTSIDE = {
    "write": "open(NAME, 'w').write('bad')",
    "read": "open(NAME).read()",
    "append": "open(NAME, 'a').write('bad')",
    "truncate": "import os\nos.truncate(NAME, 0)",
    "remove": "import os\nos.remove(NAME)",
    "rename": "import os\nos.rename(NAME, 'here')",
    "a hard link": "import os\nos.link(NAME, 'here')",
    "through a symbolic link": "import os\nos.symlink(NAME, 'here')\nopen('here', 'w').write('bad')",
    "permissions": "import os\nos.chmod(NAME, 0)",
    "times": "import os\nos.utime(NAME, (0, 0))",
    "a file beside it": "open(NAME + '2', 'w')",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_programs_pass(name: str) -> None:
    assert run_limited(HARMLESS[name]) == "passed"


@pytest.mark.parametrize("name", FAILING)
def test_what_a_program_cannot_do(name: str) -> None:
    assert run_limited(FAILING[name]) != "passed"


@pytest.mark.parametrize("name", OUTSIDE)
def test_other_files_are_out_of_reach(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine", encoding="utf-8")
    before = path.stat()
    assert run_limited(OUTSIDE[name].replace("NAME", repr(str(path)))) == "failed"
    after = path.stat()
    assert path.read_text(encoding="utf-8") == "mine" and [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (before.st_mode, before.st_mtime_ns, before.st_nlink) == (after.st_mode, after.st_mtime_ns, after.st_nlink)


@pytest.mark.parametrize(
    "source",
    [
        "while True:\n    pass",
        "import time\ntime.sleep(99)",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass",
        "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nos._exit(0)",
        "import os\nfor fd in range(3, 30):\n    try:\n        while True:\n            os.write(fd, b'x' * 100000)\n"
        "    except OSError:\n        pass\nwhile True:\n    pass",
    ],
)
def test_a_program_without_an_end_is_stopped_and_its_folder_removed(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_limited(source, Limits(cpu_seconds=1, seconds=3.0)) in ("timed out", "failed")
    assert list(tmp_path.iterdir()) == []
