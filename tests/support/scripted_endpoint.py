"""A real HTTP server on loopback that answers, or misbehaves, as a test's script says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Act:
    """One answer: after `delay_s`, a status and a body; `cut` closes in the midst of the body."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False


def say(text: str | None, delay_s: float = 0.0) -> Act:
    """A chat completion of 7 prompt tokens and 3 of the reply."""
    body = {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }  # fmt: skip
    return Act(body=json.dumps(body), delay_s=delay_s)


def refuse(status: int, message: str, code: str | None = None, **headers: str) -> Act:
    """An error in OpenAI's form; header names with `_` for `-`."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}})
    return Act(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


Script = Callable[[dict[str, Any], int], Act]


class Endpoint:
    """What the server saw: bodies, headers, times of arrival, and the most under way at once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most_under_way = 0
        self.under_way = 0
        self.lock = threading.Lock()

    @property
    def prompts(self) -> list[str]:
        """Content of the last message of every request."""
        return [body["messages"][-1]["content"] for body in self.bodies]


@contextmanager
def serve(script: Script | list[Act], port: int = 0) -> Iterator[Endpoint]:
    """Answer each POST by a function of its body and number, or by a list (its last repeats)."""
    acts = script
    endpoint = Endpoint(
        (lambda _, number: acts[min(number, len(acts) - 1)]) if isinstance(acts, list) else acts
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with endpoint.lock:
                number = len(endpoint.bodies)
                endpoint.bodies.append(body)
                endpoint.headers.append({k.title(): v for k, v in self.headers.items()})
                endpoint.times.append(time.monotonic())
                endpoint.under_way += 1
                endpoint.most_under_way = max(endpoint.most_under_way, endpoint.under_way)
            act = endpoint.script(body, number)
            time.sleep(act.delay_s)
            with endpoint.lock:
                endpoint.under_way -= 1
            self._play(act)

        def _play(self, act: Act) -> None:
            data = act.body.encode()
            try:
                self.send_response(act.status)
                for name, value in act.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if act.cut else data)
            except OSError:
                pass  # the client has given up waiting
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
