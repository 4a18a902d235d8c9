"""A small Hugging Face Hub for tests: repositories with commits, branches, tags and pull requests; tokens and rights; cards.

What is here knows no HTTP; `minihub_http` speaks it, `minicas` is the storage of Xet. Metadata lives in memory, contents
under a folder. It does what huggingface_hub asks of a Hub for a push or a pull of models and data sets, and no more.
"""

import fnmatch
import hashlib
import re
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from minicas import Cas

LFS_NAMES = ("*.bin", "*.gz", "*.model", "*.npy", "*.onnx", "*.parquet", "*.pt", "*.safetensors", "*.zip")
LICENCES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "gpl-3.0", "unknown", "other"}
_FRONT_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---", re.DOTALL)
_BASE_MODEL = re.compile(r"[\w.-]+(/[\w.-]+)?")


class HubError(Exception):
    """An answer other than the one asked for; `code` is what the Hub sends as X-Error-Code."""

    def __init__(self, status, message, code=None, headers=None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


@dataclass
class Fault:
    """The next `times` requests whose method and path fit are answered with `status`, or with nothing at all.

    With `die` the whole server stops, as a machine does whose power fails.
    """

    match: str
    method: str = "POST"
    times: int = 1
    status: int | None = None
    die: bool = False


@dataclass
class Request:
    """A request that was answered; status 0 stands for one that was not."""

    method: str
    path: str
    status: int


def git_sha1(data: bytes) -> str:
    """Return the id that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def now() -> str:
    """Return the time as the Hub writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


class Repo:
    """One repository. `commits[oid]["tree"]` maps paths to entries (oid, size, and for large files sha256)."""

    def __init__(self, kind, name, private):
        self.kind = kind
        self.name = name
        self.private = private
        self.created = now()
        self.commits: dict[str, dict[str, Any]] = {}
        self.refs: dict[str, str] = {}
        self.pull_requests: dict[int, dict[str, Any]] = {}

    def commit(self, ref, tree, title, author, parents=()):
        """Add a commit to a ref and return its id."""
        oid = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
        self.commits[oid] = {
            "id": oid,
            "title": title,
            "date": now(),
            "authors": [{"user": author}],
            "tree": dict(sorted(tree.items())),
            "parents": list(parents),
        }
        self.refs[ref] = oid
        return oid

    def ref_name(self, revision):
        """Return the ref that a revision names if it is a branch, a tag or a pull request, else None."""
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((name for name in names if name in self.refs), None)

    def resolve(self, revision):
        """Return the commit of a branch, a tag, a pull request or the beginning of a commit's id. Raises HubError."""
        if (ref := self.ref_name(revision)) is not None:
            return self.commits[self.refs[ref]]
        hits = [oid for oid in self.commits if re.fullmatch("[0-9a-f]{7,40}", revision) and oid.startswith(revision)]
        if len(hits) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[hits[0]]

    @property
    def titles(self):
        """The titles of the commits of main, the newest first."""
        found, oid = [], self.refs["refs/heads/main"]
        while oid:
            found.append(self.commits[oid]["title"])
            oid = next(iter(self.commits[oid]["parents"]), None)
        return found

    def files(self, revision="main"):
        """Return the paths of a revision."""
        return list(self.resolve(revision)["tree"])


@dataclass
class Hub:
    """The state of a Hub and its rules. `tokens` maps a token to user and role, `organizations` a name to its members."""

    root: Path
    tokens: dict[str, tuple[str, str]]
    organizations: dict[str, list[str]] = field(default_factory=dict)
    xet: bool = False

    def __post_init__(self):
        self.repos: dict[tuple[str, str], Repo] = {}
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.signature = secrets.token_hex(8)  # of upload addresses, which storage takes instead of a token
        self.cas = Cas(self.root / "cas") if self.xet else None
        for name in ("blobs", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    # --- contents: small files by git's sha1, large ones by sha256

    def path(self, key):
        """Return where a content lies."""
        return self.root / "blobs" / key

    def read(self, entry):
        """Return the content of an entry of a tree."""
        return self.path(entry.get("sha256") or entry["oid"]).read_bytes()

    def content(self, name, path, revision="main", kind="model"):
        """Return the content of a file of a repository."""
        return self.read(self.repos[kind, name].resolve(revision)["tree"][path])

    def add_small(self, data):
        """Keep a file that came inside a commit; return its entry."""
        oid = git_sha1(data)
        self.path(oid).write_bytes(data)
        return {"oid": oid, "size": len(data)}

    def add_large(self, sha256):
        """Return the entry of a file that was uploaded before its commit. Raises HubError where it was not."""
        if self.cas and sha256 in self.cas.by_sha and not self.path(sha256).exists():
            fresh = self.root / "tmp" / sha256
            if self.cas.write_file(self.cas.by_sha[sha256], fresh) != sha256:
                raise HubError(400, "Xet content does not match its sha256")
            fresh.replace(self.path(sha256))
        if not self.path(sha256).exists():
            raise HubError(400, f"the LFS pointer names a file that does not exist: {sha256}")
        size = self.path(sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        entry = {"oid": git_sha1(pointer), "size": size, "sha256": sha256, "pointer": len(pointer)}
        return entry | ({"xet": self.cas.by_sha[sha256]} if self.cas and sha256 in self.cas.by_sha else {})

    def put(self, kind, name, files):
        """Make a public repository with these files, as a test finds it there."""
        repo = self.repos[kind, name] = Repo(kind, name, private=False)
        tree = {}
        for path, data in files.items():
            if is_large(path, len(data)):
                sha256 = hashlib.sha256(data).hexdigest()
                self.path(sha256).write_bytes(data)
                tree[path] = self.add_large(sha256)
            else:
                tree[path] = self.add_small(data)
        return repo.commit("refs/heads/main", tree, "first", "somebody")

    # --- who may do what

    def member(self, auth, name):
        """Say whether a user owns what stands before the slash, alone or in an organization."""
        owner = name.split("/")[0]
        return bool(auth) and (auth[0] == owner or auth[0] in self.organizations.get(owner, ()))

    def may_write(self, auth, name):
        """Say whether a token may change a repository."""
        return self.member(auth, name) and auth[1] == "write"

    def repo(self, auth, kind, name, *, write=False):
        """Return a repository that a token may see, or with `write` change. Raises HubError; what is private is hidden."""
        repo = self.repos.get((kind, name))
        if repo is None or (repo.private and not self.member(auth, name)):
            # X-Error-Code is needed: the client takes a bare 401 for "no repository" only over https
            raise HubError(
                404 if auth else 401,
                "Repository not found" if auth else "Invalid username or password.",
                "RepoNotFound",
            )
        if write and not self.may_write(auth, name):
            raise HubError(403 if auth else 401, "You don't have the rights to write to this repo")
        return repo

    def create(self, auth, kind, name, *, private):
        """Make an empty repository. Raises HubError where it exists, or is not the user's to make."""
        if not self.may_write(auth, name):
            raise HubError(
                403, f"You don't have the rights to create a {kind} under the namespace {name.split('/')[0]}"
            )
        if (kind, name) in self.repos:
            raise HubError(409, f"You already created this {kind} repo")
        repo = self.repos[kind, name] = Repo(kind, name, private)
        attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_NAMES).encode()
        repo.commit("refs/heads/main", {".gitattributes": self.add_small(attributes)}, "initial commit", "system")
        return repo

    def open_pull_request(self, repo, auth, title):
        """Open a pull request on main and return its number."""
        number = len(repo.pull_requests) + 1
        repo.pull_requests[number] = {"num": number, "title": title, "author": auth[0], "created": now()}
        repo.refs[f"refs/pr/{number}"] = repo.refs["refs/heads/main"]
        return number

    # --- cards

    def card(self, tree):
        """Return the metadata of a tree's README.md, empty where there is none."""
        if "README.md" not in tree or not (match := _FRONT_MATTER.match(self.read(tree["README.md"]).decode())):
            return {}
        return yaml.safe_load(match[1]) or {}


def is_large(path: str, size: int) -> bool:
    """Say whether a file goes to large file storage."""
    return size >= 10 << 20 or any(fnmatch.fnmatch(path.rpartition("/")[2], pattern) for pattern in LFS_NAMES)


def card_errors(content: str) -> list[str]:
    """Return what the Hub finds wrong with the metadata of a model card."""
    match = _FRONT_MATTER.match(content)
    if not match:
        return []
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"YAML Metadata Error: {error}"]
    if not isinstance(metadata, dict):
        return ['"cardData" must be of type object']
    found = [
        f'"license" must be one of {sorted(LICENCES)}'
        for one in _listed(metadata.get("license"))
        if one not in LICENCES
    ]
    found += [
        f'"{key}" must be an array'
        for key in ("tags", "datasets", "metrics")
        if not isinstance(metadata.get(key, []), list)
    ]
    found += [
        f'"base_model" with value "{one}" is not valid. Use a model id from https://hf.co/models.'
        for one in _listed(metadata.get("base_model"))
        if not _BASE_MODEL.fullmatch(str(one))
    ]
    for model in metadata.get("model-index", []):
        for result in model["results"]:
            needed = {"task": ("type",), "dataset": ("type", "name")}
            found += [
                f'"model-index" is not valid: {part}.{key} is missing'
                for part, keys in needed.items()
                for key in keys
                if key not in result[part]
            ]
    return found


def _listed(value):
    return value if isinstance(value, list) else [] if value is None else [value]
