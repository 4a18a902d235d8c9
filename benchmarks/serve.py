"""Load `ftk serve` and two other servers of the same model in turns, and print a table.

    ftk run sst2.yaml --output RUN
    ftk export RUN INT8 --format onnx-int8
    python benchmarks/serve.py --run RUN --export INT8 --rows train.tsv --seconds 300 --litserve /path/with/litserve

Each request has one text. Each server gets `--seconds` of saturating load in all: 16 clients, each with one connection, send
the next request when the answer arrives. The servers take turns (`--rounds`); the others are stopped meanwhile, so that they
use no processor. Then each gets half of its own measured rate with random gaps; latencies count from the planned time of a
request. The memory is the sum over all processes of a server, after the first and after the last round.

    ftk int8      ftk serve with the export
    ftk torch     ftk serve with the run
    pipeline      peers/pipeline_server.py, FastAPI with a transformers pipeline, in the precision of the saved weights
    litserve      peers/litserve_server.py, with `pip install --target DIR litserve` and --litserve DIR

`--no-peers` loads only `ftk serve`. The clients run on the same processor. On a machine with other work, only the ratios have a
meaning.

    python benchmarks/serve.py --export INT8 --rows train.tsv --memory-minutes 30

loads only `ftk serve` instead, with LIGHT_RATE requests per second from LIGHT_CLIENTS clients at random times. Every 30 s
it records the memory of all processes of the server. It prints the means of the first and of the last third of the time after
the first WARM_UP share, in which the model compiles and the allocator fills its pools.
"""

import argparse
import asyncio
import csv
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ft_toolkit.core.environment import machine, versions

HERE = Path(__file__).resolve().parent
CLIENTS, ROUNDS = 16, 3
# A request without an answer for this long is an error.
GIVE_UP = 60
# The measurement of the memory: clients, requests per second, seconds between two samples.
LIGHT_CLIENTS, LIGHT_RATE, SAMPLE_SECONDS = 4, 5.0, 30.0
WARM_UP = 0.1


@dataclass
class Server:
    """A server under test, its process and its measurements."""

    name: str
    command: list[str]
    port: int
    path: str
    rows: bool
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    answers: int = 0
    seconds: float = 0.0
    errors: int = 0
    saturated: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.answers / self.seconds

    def body(self, text: str) -> bytes:
        return json.dumps({"rows": [{"text": text}]} if self.rows else {"text": text}).encode()

    def start(self) -> None:
        """Start the process in its own group, and wait until it answers."""
        environ = {**os.environ, **self.environ}
        self.process = subprocess.Popen(
            self.command, start_new_session=True, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                if asyncio.run(_try(self)):
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name}: the server ended with exit code {self.process.returncode}")
            time.sleep(0.2)
        raise SystemExit(f"{self.name}: no answer after 120 s")

    def send(self, signum: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signum)

    def measure_memory(self) -> None:
        """Record the memory of all processes of the server in MiB."""
        assert self.process is not None
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        self.memory.append(sum(each.memory_info().rss for each in tree) / 2**20)

    def stop(self) -> None:
        """Kill the processes, also stopped ones."""
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)


class Connection:
    """One connection of a client with keep-alive."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """Send a request and return the status of the answer. Raises OSError."""
        server = self._server
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", server.port)
        reader, writer = self._streams
        writer.write(
            f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), GIVE_UP)
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
        await reader.readexactly(length)
        return int(lines[0].split()[1])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _try(server: Server) -> bool:
    connection = Connection(server)
    status = await connection.post(server.body("a film"))
    connection.close()
    return status == 200


async def saturate(server: Server, texts: Iterator[str], seconds: float) -> None:
    """Send requests from all clients, each with the next request after the answer."""
    end = time.perf_counter() + seconds

    async def client() -> None:
        connection = Connection(server)
        while (started := time.perf_counter()) < end:
            await _count(server, connection, next(texts), started, server.saturated)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    server.seconds += time.perf_counter() - started
    server.answers = len(server.saturated)


async def half_load(server: Server, texts: Iterator[str], seconds: float, seed: int) -> None:
    """Send requests at half the measured rate, with exponential gaps, on as many connections as are needed."""
    draw = random.Random(seed)
    idle: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()
    planned = start = time.perf_counter()

    async def send(text: str, at: float) -> None:
        connection = idle.pop() if idle else Connection(server)
        await _count(server, connection, text, at, server.half)
        idle.append(connection)

    while planned < start + seconds:
        planned += draw.expovariate(server.rate / 2)
        await asyncio.sleep(max(planned - time.perf_counter(), 0))
        task = asyncio.create_task(send(next(texts), planned))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()


async def light_load(server: Server, texts: Iterator[str], minutes: float, seed: int) -> None:
    """Send requests from a few clients at random times, and record the memory every SAMPLE_SECONDS."""
    end = time.perf_counter() + 60 * minutes
    draw = random.Random(seed)

    async def client() -> None:
        connection = Connection(server)
        while True:
            await asyncio.sleep(draw.expovariate(LIGHT_RATE / LIGHT_CLIENTS))
            if (started := time.perf_counter()) >= end:
                return connection.close()
            await _count(server, connection, next(texts), started, server.half)

    clients = asyncio.gather(*(client() for _ in range(LIGHT_CLIENTS)))
    while time.perf_counter() < end:
        await asyncio.sleep(min(SAMPLE_SECONDS, max(end - time.perf_counter(), 0)))
        server.measure_memory()
    await clients


async def _count(server: Server, connection: Connection, text: str, started: float, latencies: list[float]) -> None:
    try:
        status = await connection.post(server.body(text))
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        connection.close()
        status = 0
    if status == 200:
        latencies.append(time.perf_counter() - started)
    else:
        server.errors += 1


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    return 1000 * statistics.quantiles(values, n=1000)[round(share * 1000) - 1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_servers(arguments: argparse.Namespace) -> list[Server]:
    """Return the servers to compare: `ftk serve`, and the peers unless they are switched off."""
    ftk = [sys.executable, "-m", "ft_toolkit", "serve"]
    servers = []
    for name, path in (("ftk int8", arguments.export), ("ftk torch", arguments.run)):
        if path is not None:
            port = free_port()
            servers.append(Server(name, [*ftk, f"m={path}", "--port", str(port)], port, "/models/m/predict", True))
    if arguments.no_peers or arguments.memory_minutes:
        return servers
    model, here = str(arguments.run / "model"), HERE / "peers"
    port = free_port()
    command = [sys.executable, str(here / "pipeline_server.py"), model, str(port)]
    servers.append(Server("pipeline", command, port, "/predict", False))
    if arguments.litserve is not None:
        port = free_port()
        paths = os.pathsep.join(filter(None, [str(arguments.litserve), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, str(here / "litserve_server.py"), model, str(port)]
        servers.append(Server("litserve", command, port, "/predict", False, {"PYTHONPATH": paths}))
    return servers


def read_texts(path: Path) -> list[str]:
    """Return the texts of a tab-separated file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def measure(servers: Sequence[Server], texts: Sequence[str], arguments: argparse.Namespace) -> None:
    """Start the servers, load them in turns, and stop them."""
    try:
        for server in servers:
            server.start()
            server.send(signal.SIGSTOP)
        for number in range(arguments.rounds):
            for server in servers:
                server.send(signal.SIGCONT)
                endless = itertools.cycle(texts[number * 997 % len(texts) :] + texts[: number * 997 % len(texts)])
                asyncio.run(saturate(server, endless, arguments.seconds / arguments.rounds))
                if number == 0:
                    server.measure_memory()
                server.send(signal.SIGSTOP)
        for number, server in enumerate(servers):
            server.send(signal.SIGCONT)
            asyncio.run(half_load(server, itertools.cycle(texts), arguments.half_seconds, number))
            server.measure_memory()
            server.send(signal.SIGSTOP)
    finally:
        for server in servers:
            server.stop()


def measure_memory(servers: Sequence[Server], texts: Sequence[str], minutes: float) -> None:
    """Load each server lightly, one after the other, and print its memory over the time."""
    print(f"{LIGHT_CLIENTS} clients, {LIGHT_RATE:g} requests/s in all, {minutes:g} minutes per server\n")
    print("| server | requests | errors | p50 ms | p99 ms | MiB first third | MiB last third | growth |")
    print("|---|---|---|---|---|---|---|---|")
    for number, server in enumerate(servers):
        try:
            server.start()
            asyncio.run(light_load(server, itertools.cycle(texts), minutes, number))
        finally:
            server.stop()
        samples = server.memory[round(WARM_UP * len(server.memory)) :]
        third = max(1, len(samples) // 3)
        first, last = statistics.fmean(samples[:third]), statistics.fmean(samples[-third:])
        cells = [
            server.name,
            f"{len(server.half):,}",
            f"{server.errors}",
            f"{percentile(server.half, 0.5):.1f}",
            f"{percentile(server.half, 0.99):.1f}",
            f"{first:.1f}",
            f"{last:.1f}",
            f"{last / first - 1:+.1%}",
        ]
        print(f"| {' | '.join(cells)} |\n")
        print(f"all samples of {server.name}: {', '.join(f'{each:.1f}' for each in server.memory)}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="required for the peers")
    parser.add_argument("--export", type=Path)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--half-seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--litserve", type=Path)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--memory-minutes", type=float)
    arguments = parser.parse_args()
    if arguments.run is None and not (arguments.no_peers or arguments.memory_minutes):
        parser.error("the peers require --run")
    servers, texts = make_servers(arguments), read_texts(arguments.rows)
    if arguments.memory_minutes:
        measure_memory(servers, texts, arguments.memory_minutes)
        return
    measure(servers, texts, arguments)
    print(f"{machine()}; {versions(('torch', 'transformers', 'onnxruntime', 'fastapi', 'uvicorn', 'litserve'))}")
    print(f"{CLIENTS} clients, {arguments.seconds:g} s per server in {arguments.rounds} rounds\n")
    print(
        "| server | requests/s | of pipeline | p50 ms | p99 ms | half load p50 | p99 | p99/p50 | MiB first, last | errors |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    pipeline = next((server for server in servers if server.name == "pipeline"), None)
    for server in servers:
        full, half = server.saturated, server.half
        cells = [
            server.name,
            f"{server.rate:.1f}",
            "-" if pipeline is None else f"{server.rate / pipeline.rate:.2f}",
            f"{percentile(full, 0.5):.1f}",
            f"{percentile(full, 0.99):.1f}",
            f"{percentile(half, 0.5):.1f}",
            f"{percentile(half, 0.99):.1f}",
            f"{percentile(half, 0.99) / percentile(half, 0.5):.1f}",
            ", ".join(f"{each:.0f}" for each in server.memory),
            f"{server.errors} of {len(full) + len(half) + server.errors}",
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
