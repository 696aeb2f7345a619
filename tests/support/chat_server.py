"""A small HTTP server that answers chat completions as a test scripts them, and keeps what it was asked."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the server sends, after `delay_s`."""

    status: int = 200
    body: str = ""
    delay_s: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


def completion(content: Any, finish_reason: Any = "stop", **fields: Any) -> Reply:
    """A chat completion, with only what is read of it, and further `fields` of its message."""
    message = {"content": content, **fields}
    return Reply(body=json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}]}))


@dataclass
class ChatServer:
    """`answer` gets a request's payload and how many requests with the same last message came before it."""

    answer: Callable[[dict[str, Any], int], Reply]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, payload: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self._lock:
            before = sum(earlier["messages"][-1] == payload["messages"][-1] for earlier in self.asked)
            self.asked.append(payload)
            self.headers.append(headers)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        return self.answer(payload, before)

    def end(self) -> None:
        with self._lock:
            self._now -= 1


@contextmanager
def chat_server(answer: Callable[[dict[str, Any], int], Reply]) -> Iterator[ChatServer]:
    """A server on a free port of this machine alone."""
    state = ChatServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = state.begin({**payload, "path": self.path}, dict(self.headers))
            time.sleep(reply.delay_s)
            state.end()
            try:
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body.encode())))
                self.end_headers()
                self.wfile.write(reply.body.encode())
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client has given up

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
