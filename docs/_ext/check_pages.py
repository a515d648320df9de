"""Measure every page of the built site in headless Chromium, at two widths.

    python docs/_ext/check_pages.py docs/_build/html [PAGE.html ...]

Says which pages are taller than 5,000 pixels at 1280, scroll sideways, cut off a table
or a picture, or ask the network for anything. Ends with exit code 1 if one does.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

TALLEST = 5000
WIDTHS = (1280, 390)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Looked up, not read.
LONG = ("api/", "changelog.html", "genindex.html", "py-modindex.html")
HARNESS = """<!doctype html><meta charset="utf-8"><body><script>
const pages = PAGES, widths = WIDTHS, found = [];
function measure(page, width) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${width}px;height:900px;border:0`;
    frame.onload = () => setTimeout(() => {
      const doc = frame.contentDocument, root = doc.documentElement;
      const right = box => box.getBoundingClientRect().right;
      const seen = box => box.offsetParent !== null;
      const main = doc.querySelector("article") || doc.body;
      const cut = [...main.querySelectorAll("img, table, figure, code")].filter(box => {
        return seen(box) && right(box) > width + 1 && !box.closest("pre");
      }).map(box =>
        box.tagName + " " + (box.alt || box.textContent).trim().slice(0, 40));
      for (const box of main.querySelectorAll("*")) {
        const style = frame.contentWindow.getComputedStyle(box);
        if (!seen(box) || box.closest("pre") || box.matches(".headerlink")) continue;
        if (/auto|scroll|hidden/.test(style.overflowX) && style.display !== "inline"
            && box.scrollWidth > box.clientWidth + 1 && box.querySelector("img, td"))
          cut.push("hidden part: " + box.className);
      }
      const asked = frame.contentWindow.performance.getEntriesByType("resource")
        .map(entry => entry.name).filter(name => /^https?:/.test(name));
      const missing = [...doc.images].filter(i => i.complete && !i.naturalWidth)
        .map(i => i.getAttribute("src"));
      found.push({page, width, height: root.scrollHeight, wide: root.scrollWidth,
                  cut, asked, missing});
      frame.remove(); done();
    }, 60);
    frame.src = page;
    document.body.append(frame);
  });
}
(async () => {
  for (const page of pages) for (const width of widths) await measure(page, width);
  const out = document.createElement("pre");
  out.id = "found"; out.textContent = JSON.stringify(found); document.body.append(out);
})();
</script></body>"""


def find_chromium() -> str | None:
    """Path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def measure(site: Path, chromium: str, names: Sequence[str] = ()) -> list[dict]:
    """Height, width and faults of each page, or of the named ones, at each width."""
    pages = sorted(
        path.resolve().as_uri()
        for path in site.rglob("*.html")
        if not {"_static", "_modules"} & set(path.relative_to(site).parts)
        and (not names or path.relative_to(site).as_posix() in names)
    )
    page = HARNESS.replace("PAGES", json.dumps(pages))
    page = page.replace("WIDTHS", json.dumps(WIDTHS))
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder, "harness.html")
        harness.write_text(page, encoding="utf-8")
        done = subprocess.run(
            [
                chromium,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-web-security",
                "--allow-file-access-from-files",
                "--host-resolver-rules=MAP * ~NOTFOUND",  # no network
                f"--user-data-dir={folder}/profile",
                "--window-size=1400,1000",
                f"--virtual-time-budget={2000 * len(pages) * len(WIDTHS)}",
                "--dump-dom",
                harness.as_uri(),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    if text is None:
        raise RuntimeError(f"Chromium measured nothing: {done.stderr[-500:]}")
    found = json.loads(html.unescape(text[1]))
    root = site.resolve().as_uri() + "/"
    return [{**own, "page": own["page"].removeprefix(root)} for own in found]


def faults(found: list[dict]) -> list[str]:
    """One line for everything that is wrong."""
    lines = []
    for own in found:
        where = f"{own['page']} at {own['width']}"
        height, is_long = own["height"], own["page"].startswith(LONG)
        if own["width"] == WIDTHS[0] and height > TALLEST and not is_long:
            lines.append(f"{where}: {height} pixels tall, more than {TALLEST}")
        if own["wide"] > own["width"]:
            lines.append(f"{where}: scrolls sideways, {own['wide']} pixels wide")
        lines += [f"{where}: cut off: {what}" for what in own["cut"]]
        lines += [f"{where}: needs the network: {what}" for what in own["asked"]]
        lines += [f"{where}: picture is missing: {what}" for what in own["missing"]]
    return lines


if __name__ == "__main__":
    browser = find_chromium()
    if browser is None:
        sys.exit("no Chromium found; install one to measure the pages.")
    everything = measure(Path(sys.argv[1]), browser, sys.argv[2:])
    wrong = faults(everything)
    print("\n".join(wrong) or f"{len(everything)} views of pages, none with a fault")
    sys.exit(bool(wrong))
