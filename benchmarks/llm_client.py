"""How close the client comes to what an endpoint can give: requests a second, against the ideal.

A server on loopback answers every request after a fixed time. With `concurrency` requests under
way at once the ideal is concurrency / latency; one after the other it is 1 / latency.

    python -m benchmarks.llm_client --requests 1600
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from configs.base import EndpointSettings
from tasks.llm.client import ChatClient

_REPLY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "An answer. " * 20}}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 60},
    }
).encode()
_HEAD = (
    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(_REPLY)}\r\n\r\n"
)
_PROMPT = (
    "Write questions that each ask for one fact of the passage. " * 25
)  # about 1500 characters


def serve(latency_s: float, channel: Connection) -> None:
    """Answer every POST after the latency, many at once; sends its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line[:15] == b"content-length:")
                await reader.readexactly(length)
                await asyncio.sleep(latency_s)
                writer.write(_HEAD.encode() + _REPLY)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        channel.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def measure(url: str, requests: int, concurrency: int) -> float:
    """Seconds that so many different requests take, cache and counting included."""
    settings = EndpointSettings(base_url=url, model="m", concurrency=concurrency)
    with tempfile.TemporaryDirectory() as folder:
        async with ChatClient(settings, url, Path(folder)) as client:

            async def ask(number: int) -> None:
                content = f"{number}\n{_PROMPT}"
                messages = [{"role": "user", "content": content}]
                await client.ask(messages, max_tokens=200, temperature=0.0, purpose="benchmark")

            await asyncio.gather(*map(ask, range(-concurrency, 0)))  # connections, imports
            began = time.perf_counter()
            await asyncio.gather(*map(ask, range(requests)))
            return time.perf_counter() - began


def main() -> None:
    """Measure, print, and fail below the goal."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1600)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--goal", type=float, default=0.8, help="share of the ideal rate")
    options = parser.parse_args()
    latency_s = options.latency_ms / 1000
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(latency_s, theirs), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    sequential = 20 / asyncio.run(measure(url, 20, 1))
    rates = [
        options.requests / asyncio.run(measure(url, options.requests, options.concurrency))
        for _ in range(options.repeats)
    ]
    server.terminate()
    ideal, rate = options.concurrency / latency_s, statistics.median(rates)
    lines = [
        f"one after the other   {sequential:8.1f} /s",
        f"{options.concurrency} at once            {rate:8.1f} /s"
        f"   ({', '.join(f'{r:.1f}' for r in rates)})",
        f"ideal                 {ideal:8.1f} /s   reached: {rate / ideal:.0%}",
        f"against sequential    {rate / sequential:8.1f} times",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(0 if rate >= options.goal * ideal else 1)


if __name__ == "__main__":
    main()
