"""A Hub that answers as it likes, and what is said about it: python -m tests.hostile.hub COUNT SEED, a process of its own.

Libraries read HF_ENDPOINT when they are imported, hence the process. It prints the number of inputs, or fails.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.hostile.strategies import json_file, texts

ABOUT = {
    "id": "org/name", "sha": "0" * 40, "private": False, "gated": False, "siblings": [{"rfilename": "config.json"}],
    "tags": [], "cardData": {"configs": [{"config_name": "default", "data_files": "train.jsonl"}]},
}  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(
        ["Location", "X-Repo-Commit", "X-Error-Code", "X-Error-Message", "X-Linked-Size", "ETag", "Content-Type"]
    ),
    st.sampled_from(
        ["", "x", "0" * 40, "../../../etc", "GatedRepo", "RepoNotFound", "EntryNotFound", "text/html", "-1", "9" * 30]
    ),
    max_size=3,
)
answers = st.tuples(
    st.sampled_from([200, 200, 200, 204, 206, 301, 307, 400, 401, 403, 404, 416, 451, 500]),
    json_file(ABOUT) | texts.map(lambda text: text.encode(errors="replace")),
    headers,
)
ALONE: Any = {"deadline": None, "database": None}  # of Hypothesis: nothing is kept between runs
Answer = tuple[int, bytes, dict[str, str]]


class Server(BaseHTTPRequestHandler):
    answer: Answer = (404, b"", {})
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body, more = self.answer
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Silent."""


def main(count: int, number: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": tempfile.mkdtemp(), "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "HF_HUB_ETAG_TIMEOUT": "2",
    }  # fmt: skip
    time.sleep = lambda seconds: None  # the pauses between retries

    from unlearn_cli.data.load import load_split
    from unlearn_cli.errors import UnlearnError
    from unlearn_cli.models.source import resolve_source

    tried = 0

    @seed(number)
    @settings(max_examples=count, phases=[Phase.generate], suppress_health_check=list(HealthCheck), **ALONE)
    @given(answers, st.booleans())
    def answered(answer: Answer, model: bool) -> None:
        nonlocal tried
        tried += 1
        Server.answer = answer
        began = time.monotonic()
        try:
            resolve_source("org/name") if model else load_split("forget", "hf:org/name")
        except UnlearnError as error:
            assert error.message and error.exit_code in (1, 2), answer
        assert time.monotonic() - began < 10, answer

    answered()
    print(json.dumps({"tried": tried}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
