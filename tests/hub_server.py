"""A Hugging Face Hub on this machine, for tests: real folders, real HTTP, no network.

    with FakeHub({"dataset": {"org/facts": folder}, "model": {"org/tiny": other}}) as hub:
        hub.modes["org/tiny"] = "gated"
        subprocess.run([...], env=hub.environment(tmp_path / "hf"))

Libraries read HF_ENDPOINT when they are imported, hence the subprocess. `environment` also points HF_HOME at a folder
of the test, switches offline mode off and xet off, and shortens timeouts. `hub.requests` lists what was asked for.

Modes of a repository: "ok"; "gated" (listed, but its files are refused with 403); "private" (401 as the Hub answers
strangers); "missing" (404); "down" (500); "broken" (a file's connection closes in the middle, again and again).
Every repository has one commit, `hub.commit(repo)`, known as main and under the names in `hub.tags[repo]`. Old names in
`hub.moved` are redirected.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_API = re.compile(r"/api/(?P<kind>model|dataset)s/(?P<rest>.+)")
_FILE = re.compile(r"/(?P<kind>datasets/)?(?P<repo>.+?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_REFUSALS = {"private": (401, "RepoNotFound"), "missing": (404, "RepoNotFound"), "down": (500, "")}


class FakeHub:
    """Serves `repos[type][id]`, folders by repository type ("model", "dataset") and id, on a free port of 127.0.0.1."""

    def __init__(self, repos: Mapping[str, Mapping[str, Path]], modes: Mapping[str, str] | None = None) -> None:
        self.repos = {kind: dict(folders) for kind, folders in repos.items()}
        self.modes = dict(modes or {})
        self.tags: dict[str, set[str]] = {}
        self.moved: dict[str, str] = {}  # old id -> new id
        self.requests: list[str] = []
        self.uploads: Path | None = None  # where new repositories are made; None: nobody may
        self.private: dict[str, bool] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeHub:
        # The default poll interval of half a second is what shutdown() would wait for.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Variables for a subprocess that shall see this Hub and keep its cache under `home`."""
        dropped = (
            "HF_",
            "HUGGING",
            "TRANSFORMERS_",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
        )
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        ours = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "OMP_NUM_THREADS": "1",
        }
        return {**kept, **ours, **more}

    def commit(self, repo: str) -> str:
        """The repository's only commit: a hash of its files."""
        folder = next(folders[repo] for folders in self.repos.values() if repo in folders)
        digest = hashlib.sha1()
        for file in _files(folder):
            digest.update(file.encode() + (folder / file).read_bytes())
        return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        self.form = {} if self.body[:1] in (b"{", b"") else parse_qs(self.body.decode())
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.hub.requests.append(f"{self.command} {self.path}")
        if url.path == "/api/repos/create":
            self._create()
        elif url.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif match := _API.fullmatch(url.path):
            self._api(match["kind"], match["rest"])
        elif match := _FILE.fullmatch(url.path):
            kind = "dataset" if match["kind"] else "model"
            self._file(kind, match["repo"], unquote(match["revision"]), unquote(match["path"]))
        else:
            self._refuse(404, "")

    def _create(self) -> None:
        """A new repository of uploads, in `hub.uploads`; its privacy is in `hub.private`."""
        wanted = json.loads(self.body)
        repo = f"{wanted['organization']}/{wanted['name']}"
        if repo in self.hub.repos.get("model", {}):
            return self._body(json.dumps({"url": f"{self.hub.url}/{repo}"}).encode(), {}, status=409)
        if not self.hub.uploads:
            return self._refuse(403, "")
        folder = self.hub.uploads / repo.replace("/", "--")
        folder.mkdir(parents=True)
        self.hub.repos.setdefault("model", {})[repo] = folder
        self.hub.private[repo] = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        return self._json({"url": f"{self.hub.url}/{repo}"})

    def _commit(self, repo: str, folder: Path) -> None:
        for line in self.body.splitlines():
            part = json.loads(line)
            if part["key"] == "file":
                path = folder / part["value"]["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(part["value"]["content"]))
            elif part["key"] == "deletedFile":
                (folder / part["value"]["path"]).unlink()
        oid = self.hub.commit(repo)
        return self._json({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}"})

    def _api(self, kind: str, rest: str) -> None:
        known = self.hub.repos.get(kind, {})
        if rest in self.hub.moved:
            return self._refuse(307, "", {"Location": f"/api/{kind}s/{self.hub.moved[rest]}"})
        repo = next((name for name in known if rest == name or rest.startswith(f"{name}/")), None)
        if repo is None or self.hub.modes.get(repo) in _REFUSALS:
            return self._refuse(*_REFUSALS[self.hub.modes.get(repo or "", "missing")])
        action, _, tail = rest[len(repo) + 1 :].partition("/")
        revision, _, path = tail.partition("/")
        if not self._known(repo, unquote(revision) or "main"):
            return self._refuse(404, "RevisionNotFound")
        folder = known[repo]
        if action in ("", "revision"):
            siblings = [{"rfilename": file} for file in _files(folder)]
            info = {"id": repo, "sha": self.hub.commit(repo), "siblings": siblings, "tags": []}
            return self._json({**info, "private": self.hub.private.get(repo, False)})
        if action == "tree":
            return self._tree(folder, unquote(path))
        if action == "preupload":
            files = json.loads(self.body)["files"]
            return self._json(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if action == "commit":
            return self._commit(repo, folder)
        if action == "paths-info":
            wanted = [path.strip("/") for path in self.form.get("paths", [])]
            return self._json([_entry(folder, path) for path in wanted if (folder / path).exists()])
        return self._refuse(404, "")

    def _tree(self, folder: Path, path: str) -> None:
        if not (folder / path).is_dir():
            return self._refuse(404, "EntryNotFound")
        deep = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = sorted((folder / path).rglob("*") if deep else (folder / path).iterdir())
        return self._json([_entry(folder, entry.relative_to(folder).as_posix()) for entry in entries])

    def _file(self, kind: str, repo: str, revision: str, path: str) -> None:
        folder = self.hub.repos.get(kind, {}).get(repo)
        mode = self.hub.modes.get(repo, "ok" if folder else "missing")
        if folder is None or mode in _REFUSALS:
            return self._refuse(*_REFUSALS[mode])
        if not self._known(repo, revision):
            return self._refuse(404, "RevisionNotFound")
        if mode == "gated":
            return self._refuse(403, "GatedRepo")
        commit = {"X-Repo-Commit": self.hub.commit(repo)}
        if not (folder / path).is_file():
            return self._refuse(404, "EntryNotFound", commit)
        data = (folder / path).read_bytes()
        return self._body(data, {**commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}, broken=mode == "broken")

    def _known(self, repo: str, revision: str) -> bool:
        return revision in {"main", self.hub.commit(repo), *self.hub.tags.get(repo, ())}

    def _body(self, data: bytes, headers: Mapping[str, str], *, broken: bool = False, status: int = 200) -> None:
        start = 0
        if part := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(part[1])
        self.send_response(206 if start else status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        if broken:
            data = data[: (start + len(data)) // 2]
            self.close_connection = True
        self.wfile.write(data[start:])

    def _json(self, value: Any) -> None:
        self._body(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _files(folder: Path) -> list[str]:
    return sorted(entry.relative_to(folder).as_posix() for entry in folder.rglob("*") if entry.is_file())


def _entry(folder: Path, path: str) -> dict[str, Any]:
    entry = folder / path
    if entry.is_dir():
        return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}
    data = entry.read_bytes()
    return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
