"""The embedded endpoint: a real HTTP server on loopback that answers by rules, not by a model.

It speaks the part of the OpenAI protocol that the pipeline uses, so that everything runs without
a key; its model name `embedded-rules` marks whatever it made. Run alone:
`python -m tasks.llm.embedded --port 8123`.
"""

from __future__ import annotations

import argparse
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.llm.rules.answer import UnknownTask, answer

log = logging.getLogger(__name__)

MODEL = "embedded-rules"
# Raised whenever the rules would say something else: cached replies are known by it.
RULES_VERSION = 7
_MAX_BODY = 64 * 2**20


@contextmanager
def serve_embedded(port: int = 0) -> Iterator[str]:
    """Run the endpoint on loopback for as long as the block; yields its base URL.

    Args:
        port: Where to listen; 0 takes any free port.
    """
    server = _Server(("127.0.0.1", port), _Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # kept-alive connections end with their client
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "clara-embedded"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "clara"}
            self._send(HTTPStatus.OK, {"object": "list", "data": [model]})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            return
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._refuse(HTTPStatus.NOT_FOUND, f"no such path: {self.path}")
            return
        try:
            request = json.loads(body)
            fault = _find_fault(request)
        except (ValueError, RecursionError):
            fault = "the body is not JSON"
        if fault:
            self._refuse(HTTPStatus.BAD_REQUEST, fault)
            return
        if request["model"] != MODEL:
            self._refuse(
                HTTPStatus.NOT_FOUND,
                f"the model '{request['model']}' does not exist; this endpoint has '{MODEL}'",
                code="model_not_found",
            )
            return
        try:
            reply = _completion(request, answer(request["messages"]))
        except UnknownTask as err:
            self._refuse(HTTPStatus.BAD_REQUEST, str(err))
            return
        except Exception:
            # A server reports its fault to the client and lives on.
            log.exception("the embedded endpoint failed on a request")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the rules failed; see the log")
            return
        self._send(HTTPStatus.OK, reply)

    def _read_body(self) -> bytes | None:
        """The body as announced; None if there is none, having refused."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
            return None
        if int(length) > _MAX_BODY:
            self.close_connection = True
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_MAX_BODY} bytes")
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, message: str, code: str | None = None) -> None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        self._send(status, {"error": error})

    def _send(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()  # ASCII: half a surrogate pair must not break a reply
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _find_fault(request: Any) -> str | None:
    """What is wrong with a request, in words, or None."""
    if not isinstance(request, dict):
        return "the body is not a JSON object"
    if not isinstance(request.get("model"), str):
        return "'model' is missing"
    if request.get("stream"):
        return "streaming is not offered here"
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return "'messages' must be a non-empty list"
    if not all(isinstance(m, dict) and "role" in m and "content" in m for m in messages):
        return "each message needs 'role' and 'content'"
    parts = [p for m in messages if isinstance(m["content"], list) for p in m["content"]]
    if not all(isinstance(part, dict) for part in parts):
        return "each part of a 'content' list must be an object with a 'type'"
    return None


def _completion(request: dict[str, Any], text: str) -> dict[str, Any]:
    prompt = sum(_count_tokens(m["content"]) for m in request["messages"])
    completion = _count_tokens(text)
    return {
        "id": f"chatcmpl-{time.time_ns()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def _count_tokens(content: Any) -> int:
    """A rough count, four bytes a token: there is no tokenizer behind rules."""
    if isinstance(content, list):
        return sum(_count_tokens(part.get("text", "")) for part in content)
    return (len(str(content).encode()) + 3) // 4


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The rule-based endpoint, for trying requests.")
    parser.add_argument("--port", type=int, default=8123)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with serve_embedded(parser.parse_args().port) as base_url:
        log.info("listening on %s (model %s); Ctrl-C ends", base_url, MODEL)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            log.info("stopped")


if __name__ == "__main__":
    main()
