"""A real S3 server on loopback, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from ports import free_port
from s3fs import S3FileSystem

KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip


@contextmanager
def s3_server(bucket: str) -> Iterator[dict[str, str]]:
    """Start it and make a bucket; gives the environment that its clients need."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    # fsspec keeps one client for equal arguments; the address, from the environment, is none.
    S3FileSystem.clear_instance_cache()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **KEYS},
    )  # fmt: skip
    try:
        _make_bucket(f"{address}/{bucket}", process)
        yield {**KEYS, "AWS_ENDPOINT_URL_S3": address}
    finally:
        process.kill()
        process.wait()


def _make_bucket(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)
