"""The storage of Xet, as far as the stock hf_xet client asks for it: xorbs and shards are kept as they were sent, and a file
becomes bytes again when a commit names its sha256."""

import hashlib
import re
import struct
import threading

import pyarrow

# A file's record in a shard, the id that ends the list, and the bits that say what follows a record.
_RECORD = 48
_END = b"\xff" * 32
_HAS_VERIFICATION, _HAS_SHA256 = 1 << 31, 1 << 30
# Compression schemes of a chunk.
_GROUPED = 2


def hash_name(raw: bytes) -> str:
    """Return a hash as Xet prints it: four little-endian numbers of 64 bits."""
    return "".join(f"{value:016x}" for value in struct.unpack("<4Q", raw))


class Cas:
    """Content-addressed storage. `files` maps a file's hash to its terms (xorb, size, first and last chunk)."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        self.by_sha = {}
        self.lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    def chunks(self, xorb):
        """Return [(offset, length with header, scheme, unpacked length)] of a stored xorb, and its bytes."""
        data = (self.root / xorb).read_bytes()
        found, at = [], 0
        while at + 8 <= len(data) and data[at] == 0:  # a chunk's header begins with version 0, the footer with XETBLOB
            packed = int.from_bytes(data[at + 1 : at + 4], "little")
            found.append((at, 8 + packed, data[at + 4], int.from_bytes(data[at + 5 : at + 8], "little")))
            at += 8 + packed
        return found, data

    def add_xorb(self, name, data):
        """Keep a xorb; return whether it is new."""
        new = not (self.root / name).exists()
        fresh = self.root / f"{name}.part"
        fresh.write_bytes(data)
        fresh.replace(self.root / name)
        return new

    def add_shard(self, data):
        """Note the files that a shard describes."""
        at = _RECORD
        while data[at : at + 32] != _END:
            name, flags, n_terms, _ = struct.unpack_from("<32sIIQ", data, at)
            at += _RECORD
            terms = []
            for number in range(n_terms):
                xorb, _, size, start, end = struct.unpack_from("<32sIIII", data, at + _RECORD * number)
                terms.append((hash_name(xorb), size, start, end))
            at += _RECORD * n_terms * (2 if flags & _HAS_VERIFICATION else 1)
            with self.lock:
                self.files[hash_name(name)] = terms
                if flags & _HAS_SHA256:
                    self.by_sha[hash_name(data[at : at + 32])] = hash_name(name)
            at += _RECORD if flags & _HAS_SHA256 else 0

    def write_file(self, name, path):
        """Put a file together again; return its sha256."""
        digest = hashlib.sha256()
        with path.open("wb") as out:
            for xorb, _, start, end in self.files[name]:
                chunks, data = self.chunks(xorb)
                for offset, length, scheme, size in chunks[start:end]:
                    raw = _unpacked(data[offset + 8 : offset + length], scheme, size)
                    out.write(raw)
                    digest.update(raw)
        return digest.hexdigest()

    def reconstruction(self, name, wanted, base):
        """Say from which ranges of which xorbs a client puts a file (or `bytes=A-B` of it) together; None beyond its end."""
        terms, low, high = self.files[name], 0, None
        total = sum(size for _, size, _, _ in terms)
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", wanted or ""):
            low, high = int(match[1]), min(int(match[2]) + 1, total)
            if low >= total:
                return None
        found, fetched, position, skip = [], {}, 0, None
        for xorb, size, start, end in terms:
            chunks, at, inside = self.chunks(xorb)[0], position, []
            for number in range(start, end):
                after = at + chunks[number][3]
                if after > low and (high is None or at < high):
                    skip = low - at if skip is None else skip
                    inside.append(number)
                at = after
            position += size
            if inside:
                first, last = inside[0], inside[-1] + 1
                unpacked = sum(chunk[3] for chunk in chunks[first:last])
                found.append({"hash": xorb, "unpacked_length": unpacked, "range": {"start": first, "end": last}})
                fetched.setdefault(xorb, []).append((first, last))
        info = {xorb: self._ranges(xorb, ranges, base) for xorb, ranges in fetched.items()}
        return {"offset_into_first_range": max(skip or 0, 0), "terms": found, "fetch_info": info}

    def _ranges(self, xorb, ranges, base):
        """Return where a client fetches chunks; ranges of one xorb must not overlap, or it takes the wrong one."""
        merged = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1]:
                merged[-1][1] = max(last, merged[-1][1])
            else:
                merged.append([first, last])
        chunks = self.chunks(xorb)[0]
        return [
            {
                "range": {"start": first, "end": last},
                "url": f"{base}/_cas/data/{xorb}",
                "url_range": {"start": chunks[first][0], "end": sum(chunks[last - 1][:2]) - 1},
            }
            for first, last in merged
        ]

    def answer(self, request):
        """Answer a request whose path is below /_cas."""
        method, path = request.command, request.raw.removeprefix("/_cas")
        if method == "GET" and path.startswith("/data/"):
            data = (self.root / path.split("/")[2]).read_bytes()
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())
            return request.reply(
                206,
                headers={
                    "Content-Range": f"bytes {first}-{last}/{len(data)}",
                    "Content-Type": "application/octet-stream",
                },
                raw=data[first : last + 1],
            )
        scope, _, signature = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(":")
        if signature != request.hub.signature:
            return request.reply(401, {"error": "bad Xet token"})
        if method == "POST" and scope != "write" and "telemetry" not in path:
            return request.reply(403, {"error": "this Xet token can only read"})
        if method == "POST" and (match := re.fullmatch(r"/v1/xorbs/default/([0-9a-f]{64})", path)):
            return request.reply(200, {"was_inserted": self.add_xorb(match[1], request.body)})
        if method == "POST" and path == "/v1/shards":  # /v2/shards gets a 404, and the client falls back
            self.add_shard(request.body)
            return request.reply(200, {"result": 1})
        if method == "GET" and (match := re.fullmatch(r"/v1/reconstructions/([0-9a-f]{64})", path)):
            if match[1] not in self.files:
                return request.reply(404, {"error": "file not found"})
            found = self.reconstruction(match[1], request.headers.get("Range"), request.base)
            return request.reply(200, found) if found else request.reply(416, {"error": "range"})
        if method == "POST" and path == "/v1/telemetry":
            return request.reply(200)
        return request.reply(404, {"error": f"no {method} {path}"})  # also /v1/chunks: nothing is known of other files


def _unpacked(raw, scheme, size):
    if scheme:
        # pyarrow's lz4 codec is the frame format that xorbs use
        raw = pyarrow.decompress(raw, decompressed_size=size, codec="lz4", asbytes=True)
    if scheme != _GROUPED:
        return raw
    flat, at = bytearray(size), 0
    for remainder in range(4):  # bytes were grouped by their position modulo 4
        count = (size - remainder + 3) // 4
        flat[remainder::4] = raw[at : at + count]
        at += count
    return bytes(flat)
