"""Run untrusted Python code in a process with limits, on Linux on x86-64 with Landlock only.

The process
- has a time limit, a memory limit, and limits on the size of a file and the number of open files (setrlimit);
- cannot start another process or program, send a signal, open a socket, trace a process, or change a limit (seccomp);
- reads only the files of Python and of the system's libraries, and writes only in a temporary folder, which is
  removed afterwards (Landlock);
- cannot change the owner, permissions or times of a file (seccomp), and has no capabilities, even as root;
- gets an empty environment and no input; its output is discarded.

No code runs on a system that lacks one of these means. The limits reduce the damage of a mistake. They do not protect from code
that attacks the kernel, because it runs on the kernel of this machine. The total size of the files in the temporary folder is
limited only by the time to write them. A program that is written to deceive can report a success.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Outcome = Literal["passed", "failed", "timed out"]


@dataclass(frozen=True)
class Limits:
    """The limits of a program: seconds of processor time and of real time, memory and size of a file in MiB, open files."""

    cpu_seconds: int = 5
    seconds: float = 15.0
    memory_mib: int = 1024
    file_mib: int = 4
    open_files: int = 32


def run_limited(source: str, limits: Limits | None = None) -> Outcome:
    """Run a program and return whether it ran to its end without an exception. `refusal` must return None.

    Raises OSError if the process cannot be started.
    """
    limits = limits or Limits()
    token = secrets.token_hex(16)
    values = (limits.cpu_seconds, limits.memory_mib, limits.file_mib, limits.open_files)
    command = [sys.executable, "-s", "-S", "-B", "-c", _LAUNCHER, ":".join(_readable_paths()), *map(str, values)]
    folder = Path(tempfile.mkdtemp(prefix="limited-")).resolve()
    try:
        # files instead of pipes: a full pipe blocks its writer, and the limit of a file's size does not apply to it
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
            stdin.write(f"{token}\n{source}".encode("utf-8", "replace"))
            stdin.seek(0)
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={"PYTHONHASHSEED": "0"},
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                code = process.wait(limits.seconds)
            except subprocess.TimeoutExpired:
                return "timed out"
            finally:
                process.kill()
                process.wait()
            stdout.seek(0)
            if stdout.read(len(token) + 1) == token.encode():
                return "passed"
            return "timed out" if code == -signal.SIGXCPU else "failed"
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder that may contain unreadable folders, or folders nested deeper than Python's recursion limit."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        subprocess.run(["chmod", "-R", "u+rwx", "--", folder], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["rm", "-rf", "--", folder], check=False)


@cache
def refusal() -> str | None:
    """Return the reason why this system cannot run a program with all limits; None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"it needs Linux on x86-64; found {platform.system()} on {platform.machine()}"
    if run_limited("") != "passed":
        return (
            "it needs Linux 5.13 or later with Landlock and seccomp, which this system does not have or does not allow"
        )
    return None


def _readable_paths() -> list[str]:
    """Return the folders and files that a program can read."""
    python = {sys.prefix, sys.base_prefix, *(path for path in sys.path if path.endswith(("lib-dynload", ".zip")))}
    python |= {str(Path(os.__file__).parent), os.path.realpath(sys.executable)}
    system = (
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
        "/usr/local/lib",
        "/etc/ld.so.cache",
        "/dev/null",
        "/dev/urandom",
    )
    return sorted({os.path.realpath(path) for path in (*python, *system) if Path(path).exists()})


# The program that limits its process, and then runs the code. Sources of the numbers, in Linux: of the system calls
# arch/x86/entry/syscalls/syscall_64.tbl, of Landlock include/uapi/linux/landlock.h, of seccomp
# include/uapi/linux/{seccomp,filter,audit}.h.
_LAUNCHER = r"""
import ctypes, os, resource, struct, sys

def main():
    read_only, cpu, memory, size, files = sys.argv[1].split(":"), *map(int, sys.argv[2:6])
    token, _, source = sys.stdin.buffer.read().decode("utf-8", "replace").partition("\n")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def call(*arguments):
        result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
        if result < 0:
            raise OSError(ctypes.get_errno(), "system call %d" % arguments[0])
        return result

    def limit(name, soft, hard=None):
        resource.setrlimit(name, (soft, soft if hard is None else hard))

    limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    limit(resource.RLIMIT_AS, memory << 20)
    limit(resource.RLIMIT_FSIZE, size << 20)
    limit(resource.RLIMIT_NOFILE, files)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_STACK, 8 << 20)

    out = os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)

    call(157, 38, 1, 0, 0, 0)  # prctl(PR_SET_NO_NEW_PRIVS)
    # Landlock: every kind of access of its version is handled, and therefore denied where no rule allows it
    version = call(444, None, 0, 1)
    kinds = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    everything = (1 << kinds) - 1
    ruleset = call(444, struct.pack("=Q", everything), 8, 0)
    read = 1 << 0 | 1 << 2 | 1 << 3  # execute (which seccomp denies; the loader of libraries needs none), read a file, a folder
    for path, allowed in [(path, read) for path in read_only] + [(os.getcwd(), everything)]:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):
            allowed &= 1 << 0 | 1 << 1 | 1 << 2
        call(445, ruleset, 1, struct.pack("=Qi", allowed, opened), 0)
        os.close(opened)
    call(446, ruleset, 0)
    os.close(ruleset)
    # no capabilities
    call(126, struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", 0, 0, 0, 0, 0, 0))

    # seccomp: these calls fail with EPERM; clone3 fails with ENOSYS, so that threads use clone, which may only make threads
    denied = [
        57, 58, 59, 322,  # fork, vfork, execve, execveat
        62, 129, 200, 234, 297, 424, 434,  # kill, queued signals, tkill, tgkill, pidfd
        41, 53, 425,  # socket, socketpair, io_uring
        101, 310, 311, 312, 438,  # ptrace, memory and files of other processes
        160, 302, 141, 142, 144, 203, 314, 251,  # limits, priorities, schedulers
        90, 91, 268, 452, 92, 93, 94, 260,  # permissions, owners
        188, 189, 190, 197, 198, 199, 463, 466, 132, 235, 261, 280,  # attributes and times of files
        29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 240, 241, 319, 323,  # shared memory, semaphores, queues, memfd, userfaultfd
        155, 161, 165, 166, 272, 308, 428, 429, 430, 432, 442,  # roots, mounts, namespaces
        154, 172, 173, 246, 320, 169, 175, 176, 313, 167, 168, 170, 171, 321, 298, 248, 249, 250, 103, 164, 227,  # the machine
        105, 106, 112, 109, 113, 114, 116, 117, 119, 122, 123, 159, 305,  # identity, session, clock
    ]
    allow, error, die = 0x7FFF0000, 0x00050000, 0x80000000
    load = lambda offset: (0x20, 0, 0, offset)
    code = [load(4), (0x15, 1, 0, 0xC000003E), (0x06, 0, 0, die)]  # x86-64 only
    code += [load(0), (0x35, 0, 1, 0x40000000), (0x06, 0, 0, die)]  # not its 32-bit form
    for number in denied:
        code += [(0x15, 0, 1, number), (0x06, 0, 0, error | 1)]
    code += [(0x15, 0, 1, 435), (0x06, 0, 0, error | 38)]
    code += [(0x15, 0, 3, 56), load(16), (0x45, 1, 0, 0x10000), (0x06, 0, 0, error | 1)]
    code += [(0x06, 0, 0, allow)]
    packed = b"".join(struct.pack("=HBBI", *each) for each in code)
    buffer = ctypes.create_string_buffer(packed)
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(buffer)))
    call(317, 1, 0, program)  # seccomp(SECCOMP_SET_MODE_FILTER)

    sys.argv[:] = ["program"]
    exec(compile(source, "program", "exec"), {"__name__": "__main__"})
    os.write(out, token.encode())

main()
"""
