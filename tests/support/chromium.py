"""Pages looked at in a real browser: headless Chromium, driven by command line alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

# Runs in the page, and leaves what it finds in the frame's parent, where --dump-dom shows it.
_PROBE = """<script>
const errors = [];
addEventListener('error', e => errors.push(String(e.message || e.target.src)), true);
addEventListener('load', () => {
  const style = getComputedStyle(document.body);
  const width = e => e.getBoundingClientRect().width;
  const all = name => [...document.querySelectorAll(name)];
  const sticksOut = e =>
    width(e) && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll');
  const found = {
    errors, width: innerWidth, scrollWidth: document.documentElement.scrollWidth,
    wide: all('body *').filter(sticksOut).map(e => e.outerHTML.slice(0, 80)).slice(0, 5),
    ink: style.color, paper: style.backgroundColor,
    headings: all('h2').map(e => e.textContent),
    charts: all('svg').filter(e => width(e) > 100).length,
  };
  const place = parent.document.createElement('pre');
  place.id = 'probe';
  place.textContent = JSON.stringify(found);
  parent.document.body.append(place);
});
</script>"""
# A headless window has a least width; a frame in it has none.
_FRAME = """<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<body style="margin:0"><iframe style="width:{width}px;height:900px;border:0" srcdoc="{page}">
</iframe></body>"""


def look_at(page: Path, folder: Path, *, width: int, dark: bool = False) -> dict[str, Any]:
    """What a browser makes of a page; skips the test where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if program is None:
        pytest.skip("no Chromium here to look at the page with")
    text = page.read_text().replace("<head>", f"<head>{_PROBE}", 1)
    framed = folder / "framed.html"
    framed.write_text(_FRAME.format(width=width, page=escape(text)))
    scheme = 0 if dark else 1
    command = [
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1200", "--dump-dom",
        "--enable-logging=stderr", f"--blink-settings=preferredColorScheme={scheme}",
        framed.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    looked = json.loads(unescape(found[1]))
    looked["console"] = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return looked
