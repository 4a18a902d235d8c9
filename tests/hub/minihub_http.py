"""HTTP for `minihub`, on loopback. Point HF_ENDPOINT at exactly the address of the server.

By hand: python tests/hub/minihub_http.py PORT FOLDER [--xet]; the tokens are hf_alice and hf_reader (who may only read),
both of alice, and hf_bob.
"""

import base64
import hashlib
import json
import re
import socket
import sys
import threading
import time
import traceback
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from minihub import Hub, HubError, Request, card_errors, is_large, now

TOKENS = {"hf_alice": ("alice", "write"), "hf_reader": ("alice", "read"), "hf_bob": ("bob", "write")}
API = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+)(?:/([^/]+)(?:/(.*))?)?$")
LFS = re.compile(r"^/(?:(datasets)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch$")
RESOLVE = re.compile(r"^/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


class Handler(BaseHTTPRequestHandler):
    """One connection. `hub` and `owner` (the server object) are set by `Server`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    hub: Hub

    def log_message(self, *args):
        """Keep quiet."""

    # --- plumbing

    def handle_any(self):
        self.status, parts = 0, urlsplit(self.path)
        self.raw, self.query = parts.path, parse_qs(parts.query)
        try:
            self.body = self.read_body()
            if not self.fails():
                self.answer()
        except HubError as error:
            headers = {"X-Error-Message": error.message, **({"X-Error-Code": error.code} if error.code else {})}
            self.reply(error.status, {"error": error.message}, {**headers, **error.headers})
        except ConnectionError:
            self.close_connection = True
        except Exception:  # noqa: BLE001 - a bug here must be loud: the client would retry a 500 in silence
            traceback.print_exc()
            self.reply(501, {"error": "bug in minihub"})
        finally:
            self.hub.log.append(Request(self.command, self.path, self.status))

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def read_body(self):
        """Return the body, sent with its length or in chunks. Raises ConnectionError when it is cut short."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            wanted = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(wanted)
            if len(body) < wanted:
                raise ConnectionError
            return body
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def fails(self):
        """Do as the first fault says that fits, and return whether one did."""
        for fault in self.hub.faults:
            if fault.times > 0 and fault.method == self.command and fault.match in self.path:
                fault.times -= 1
                if fault.die:
                    self.owner.stop()
                if fault.status is None:
                    raise ConnectionError
                self.reply(fault.status, {"error": "injected fault"})
                return True
        return False

    def reply(self, status=200, value=None, headers=None, raw=None):
        data = raw if raw is not None else json.dumps({} if value is None else value).encode()
        self.send_response(status)
        for key, text in {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(data)),
            "X-Request-Id": uuid.uuid4().hex,
            **(headers or {}),
        }.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.status = status

    @property
    def base(self):
        """This server's address as the client calls it, for the addresses it is sent to."""
        return f"http://{self.headers['Host']}"

    def auth(self):
        """Return user and role of the token, None without one. Raises HubError for an unknown one."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        if token and token not in self.hub.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.tokens.get(token)

    def answer(self):
        if self.raw.startswith("/_cas/") and self.hub.cas:
            return self.hub.cas.answer(self)
        if match := RESOLVE.match(self.raw):  # only reads, and may be long: no lock
            return self.resolve(*match.groups())
        with self.hub.lock:
            if self.raw.startswith("/_lfs/"):
                return self.lfs_put() if self.command == "PUT" else self.lfs_verify()
            if match := LFS.match(self.raw):
                return self.lfs_batch(*match.groups())
            method = "GET" if self.command == "HEAD" else self.command
            if match := API.match(self.raw):
                kind, name, verb, rest = match.groups()
                found = getattr(self, f"{method.lower()}_{(verb or 'info').replace('-', '_')}", None)
                if found is not None:
                    return found(self.auth(), kind[:-1], unquote(name), unquote(rest or ""))
            found = getattr(self, f"{method.lower()}{self.raw.replace('/', '_').replace('-', '_')}", None)
            if found is not None:
                return found(self.auth())
        if self.raw.startswith(("/api/models/", "/api/datasets/")):
            auth = self.auth()
            raise HubError(404 if auth else 401, "Repository not found", "RepoNotFound")
        raise HubError(404, f"no {self.command} {self.raw}")

    # --- people and repositories

    def get_api_whoami_v2(self, auth):
        if not auth:
            raise HubError(401, "Invalid username or password.")
        user, role = auth
        mine = [name for name, members in self.hub.organizations.items() if user in members]
        self.reply(
            value={
                "type": "user",
                "name": user,
                "orgs": [{"type": "org", "name": name, "roleInOrg": "write"} for name in mine],
                "auth": {"type": "access_token", "accessToken": {"displayName": user, "role": role}},
            }
        )

    def post_api_repos_create(self, auth):
        asked = json.loads(self.body)
        name, kind = f"{asked.get('organization') or (auth or ['?'])[0]}/{asked['name']}", asked.get("type") or "model"
        private = asked.get("visibility", "private" if asked.get("private") else "public") == "private"
        self.hub.create(auth, kind, name, private=private)
        self.reply(value={"url": f"{self.base}/{name}", "name": name, "id": name})

    def post_api_validate_yaml(self, auth):
        errors = card_errors(json.loads(self.body)["content"])
        self.reply(400 if errors else 200, {"errors": [{"message": error} for error in errors], "warnings": []})

    def get_info(self, auth, kind, name, rest):
        self.get_revision(auth, kind, name, "main")

    def get_revision(self, auth, kind, name, rest):
        repo = self.hub.repo(auth, kind, name)
        commit = repo.resolve(rest)
        card = self.hub.card(commit["tree"])
        self.reply(
            value={
                "_id": name,
                "id": name,
                "modelId": name,
                "author": name.split("/")[0],
                "sha": commit["id"],
                "lastModified": commit["date"],
                "createdAt": repo.created,
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": list(card.get("tags") or []),
                "pipeline_tag": card.get("pipeline_tag"),
                "cardData": card,
                "siblings": [{"rfilename": path} for path in commit["tree"]],
            }
        )

    def get_auth_check(self, auth, kind, name, rest):
        self.hub.repo(auth, kind, name, write=rest == "write")
        self.reply()

    def get_refs(self, auth, kind, name, rest):
        refs = self.hub.repo(auth, kind, name).refs

        def below(prefix):
            return [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid}
                for ref, oid in refs.items()
                if ref.startswith(prefix)
            ]

        self.reply(value={"branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": []})

    def get_discussions(self, auth, kind, name, rest):
        requests = reversed(self.hub.repo(auth, kind, name).pull_requests.values())
        wanted = self.query.get("author", [None])[0]
        found = [
            {
                "title": one["title"],
                "num": one["num"],
                "author": {"name": one["author"]},
                "createdAt": one["created"],
                "status": "open",
                "repo": {"name": name, "type": kind},
                "isPullRequest": True,
            }
            for one in requests
            if wanted in (None, one["author"])
        ]
        self.reply(value={"discussions": found, "count": len(found), "start": 0})

    def post_branch(self, auth, kind, name, rest):
        self.new_ref(
            auth, kind, name, f"refs/heads/{rest}", json.loads(self.body or b"{}").get("startingPoint") or "main"
        )

    def post_tag(self, auth, kind, name, rest):
        self.new_ref(auth, kind, name, f"refs/tags/{json.loads(self.body)['tag']}", rest)

    def new_ref(self, auth, kind, name, ref, start):
        repo = self.hub.repo(auth, kind, name, write=True)
        if ref in repo.refs:
            raise HubError(409, "Reference already exists")
        repo.refs[ref] = repo.resolve(start)["id"]
        self.reply(201)

    # --- what is there

    def entry(self, path, entry):
        found = {"type": "file", "oid": entry["oid"], "size": entry["size"], "path": path}
        if "sha256" in entry:
            found["lfs"] = {"oid": entry["sha256"], "size": entry["size"], "pointerSize": entry["pointer"]}
        return found | ({"xetHash": entry["xet"]} if entry.get("xet") else {})

    def get_tree(self, auth, kind, name, rest):
        revision, _, folder = rest.partition("/") if not rest.startswith("refs/") else (rest, "", "")
        tree = self.hub.repo(auth, kind, name).resolve(revision)["tree"]
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        found, folders = [], set()
        for path, entry in tree.items():
            if not path.startswith(prefix):
                continue
            inner = path.removeprefix(prefix).split("/")
            for depth in range(1, len(inner) if recursive else min(2, len(inner))):
                folders.add(prefix + "/".join(inner[:depth]))
            if recursive or len(inner) == 1:
                found.append(self.entry(path, entry))
        if prefix and not found:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        self.reply(value=[*(directory(path) for path in sorted(folders)), *found])

    def post_paths_info(self, auth, kind, name, rest):
        tree = self.hub.repo(auth, kind, name).resolve(rest)["tree"]
        is_json = "json" in self.headers.get("Content-Type", "")
        paths = json.loads(self.body)["paths"] if is_json else parse_qs(self.body.decode()).get("paths", [])
        found = []
        for path in (path.strip("/") for path in paths):
            if path in tree:
                found.append(self.entry(path, tree[path]))
            elif any(other.startswith(f"{path}/") for other in tree):
                found.append(directory(path))
        self.reply(value=found)

    def resolve(self, kind, name, revision, path):
        """Send a file, or a range of it."""
        repo = self.hub.repo(self.auth(), (kind or "models")[:-1], unquote(name))
        commit = repo.resolve(unquote(revision))
        entry = commit["tree"].get(unquote(path))
        headers = {"X-Repo-Commit": commit["id"], "Accept-Ranges": "bytes"}
        if entry is None:
            raise HubError(404, "Entry not found", "EntryNotFound", headers)
        etag = entry.get("sha256") or entry["oid"]
        headers |= {"ETag": f'"{etag}"', "Content-Type": "application/octet-stream"}
        if "sha256" in entry:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(entry["size"])}
        if entry.get("xet"):
            tokens = f"{self.base}/api/{kind or 'models'}/{name}/xet-read-token/{commit['id']}"
            headers |= {
                "X-Xet-Hash": entry["xet"],
                "X-Xet-Refresh-Route": tokens,
                "Link": f'<{tokens}>; rel="xet-auth"',
            }
        data, status = self.hub.read(entry), 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
            if first >= len(data):
                raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        self.reply(status, headers=headers, raw=data)

    # --- pushing

    def post_preupload(self, auth, kind, name, rest):
        repo = self.hub.repo(auth, kind, name, write="create_pr" not in self.query and not rest.startswith("refs/pr/"))
        commit, found = repo.resolve(rest), []
        for file in json.loads(self.body)["files"]:
            old = commit["tree"].get(file["path"], {})
            known = {"oid": old.get("sha256") or old["oid"]} if old else {}
            mode = "lfs" if is_large(file["path"], file["size"]) else "regular"
            found.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **known})
        self.reply(value={"files": found, "commitOid": commit["id"]})

    def lfs_batch(self, kind, name):
        asked = json.loads(self.body)
        ref = asked.get("ref", {}).get("name", "refs/pr/")  # whoever proposes a change names no branch
        self.hub.repo(self.auth(), (kind or "models")[:-1], unquote(name), write=not ref.startswith("refs/pr/"))
        found = []
        for one in asked["objects"]:
            place = f"{self.base}/_lfs/{one['oid']}"
            signed = f"?sig={self.hub.signature}"
            actions = {"upload": {"href": place + signed}, "verify": {"href": f"{place}/verify{signed}"}}
            stored = self.hub.path(one["oid"]).exists()
            found.append({"oid": one["oid"], "size": one["size"], **({} if stored else {"actions": actions})})
        self.reply(
            value={"transfer": "basic", "objects": found}, headers={"Content-Type": "application/vnd.git-lfs+json"}
        )

    def lfs_put(self):
        """Keep a large file; the signature in the address stands for a token."""
        oid = self.raw.split("/")[2]
        if self.query.get("sig") != [self.hub.signature]:
            raise HubError(403, "SignatureDoesNotMatch")
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(400, "content does not match its sha256")
        self.hub.path(oid).write_bytes(self.body)
        self.reply(raw=b"")

    def lfs_verify(self):
        path = self.hub.path(self.raw.split("/")[2])
        if not path.exists() or path.stat().st_size != json.loads(self.body)["size"]:
            raise HubError(404, "object missing or of another size")
        self.reply()

    def get_xet_read_token(self, auth, kind, name, rest):
        self.xet_token(auth, kind, name, "read", write=False)

    def get_xet_write_token(self, auth, kind, name, rest):
        proposed = "create_pr" in self.query or rest.startswith("refs/pr/")
        self.xet_token(auth, kind, name, "write", write=not proposed)

    def xet_token(self, auth, kind, name, scope, *, write):
        self.hub.repo(auth, kind, name, write=write)
        if not self.hub.cas:
            raise HubError(404, "this Hub has no Xet storage")
        url, token, expires = f"{self.base}/_cas", f"{scope}:{self.hub.signature}", int(time.time()) + 3600
        self.reply(
            value={"casUrl": url, "accessToken": token, "exp": expires},
            headers={"X-Xet-Cas-Url": url, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires)},
        )

    def post_commit(self, auth, kind, name, rest):
        hub, is_pr = self.hub, self.query.get("create_pr") == ["1"]
        repo = hub.repo(auth, kind, name, write=not (is_pr or rest.startswith("refs/pr/")))
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        head, parent, ref = lines[0]["value"], repo.resolve(rest), repo.ref_name(rest)
        if (wanted := head.get("parentCommit")) and parent["id"] != wanted:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(parent["tree"])
        for line in lines[1:]:
            value = line["value"]
            match line["key"]:
                case "file":
                    tree[value["path"]] = hub.add_small(base64.b64decode(value["content"]))
                case "lfsFile":
                    tree[value["path"]] = hub.add_large(value["oid"])
                case "deletedFile":
                    if tree.pop(value["path"], None) is None:
                        raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
                case other:
                    raise HubError(400, f"unknown operation {other}")
        more = {}
        if is_pr:
            number = hub.open_pull_request(repo, auth, head["summary"])
            ref, more = f"refs/pr/{number}", {"pullRequestUrl": f"{self.base}/{name}/discussions/{number}"}
        oid = repo.commit(ref, tree, head["summary"], auth[0], [parent["id"]])
        self.reply(
            value={
                "success": True,
                "commitOid": oid,
                "commitUrl": f"{self.base}/{name}/commit/{oid}",
                "hookOutput": "",
                **more,
            }
        )


def directory(path):
    """Return how a listing shows a folder."""
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


class Server:
    """A Hub that listens on loopback. It can be stopped in the middle, and started again with what it holds."""

    def __init__(self, hub, port=0):
        self.hub = hub
        self.port = port
        self.connections: set[socket.socket] = set()
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        owner = self

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def process_request(self, request, client_address):
                owner.connections.add(request)
                super().process_request(request, client_address)

            def handle_error(self, request, client_address):
                """Say nothing of connections that broke."""

        self.listener = Listener(("127.0.0.1", self.port), type("H", (Handler,), {"hub": self.hub, "owner": self}))
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Close the door and every connection."""
        self.listener.socket.close()
        threading.Thread(target=self.listener.shutdown, daemon=True).start()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()


if __name__ == "__main__":
    server = Server(Hub(Path(sys.argv[2]), TOKENS, {"acme": ["alice"]}, xet="--xet" in sys.argv), int(sys.argv[1]))
    print(f"{server.url} ({now()})", flush=True)
    threading.Event().wait()
