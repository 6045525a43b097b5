"""The page of a rehearsal in a real browser: drawn without errors, sorted and switched by its buttons."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support import cannot_be_had

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli
    from tests.support import Database, Write

# What a person would click, and what is to be seen then. Errors of the page's own script, and what it may not
# load, are told as well.
_CLICKS = """
<script>
"use strict";
const told = [];
const tell = (text) => { told.push(text); document.body.dataset.told = told.join(" | "); };
addEventListener("error", (event) => tell(`error ${event.message}`));
addEventListener("securitypolicyviolation", (event) => tell(`refused ${event.blockedURI}`));
addEventListener("load", () => {
  const table = document.querySelector("table"), heads = [...table.tHead.rows[0].cells];
  const shown = () => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent).join(" ");
  const name = heads.find((head) => head.textContent === "Finding");
  for (const times of ["once", "twice"]) {
    name.querySelector("button").click();
    tell(`${times} ${name.getAttribute("aria-sort")}: ${shown()}`);
  }
  const figure = document.querySelector("figure"), bar = figure.querySelectorAll(".bar")[1];
  const width = () => Math.round(bar.getBoundingClientRect().width);
  const before = width();
  figure.querySelector("[data-view=time]").click();
  tell(`by time ${figure.classList.contains("time")}, ${before !== width() ? "redrawn" : "as before"}`);
  tell(`wide ${document.documentElement.scrollWidth <= innerWidth ? "enough" : "over"}`);
});
</script>
"""


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or cannot_be_had("chromium", "there is no chromium; Debian's package is chromium")


def shown(page: Path, *options: str) -> str:
    """The page's elements after its scripts have run."""
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        f"--user-data-dir={page.parent}/profile",
        "--virtual-time-budget=2000",
        *options,
        "--dump-dom",
    ]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=90)
    return done.stdout


def test_the_page_in_a_browser(bare: Cli, one_postgresql: Database, write: Write, tmp_path: Path) -> None:
    browser()
    change = "TRUNCATE a;\nALTER TABLE a ADD COLUMN c date;\nALTER TABLE a ALTER COLUMN b TYPE bigint;\n"
    write({"001_a.sql": "CREATE TABLE a (b integer);\n", "002_a.sql": change})
    page = tmp_path / "page.html"
    assert bare("rehearse", "--on", one_postgresql.url, "--html", page).code == 0
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<title>", f"{_CLICKS}<title>", 1), encoding="utf-8")
    found = re.search(r'data-told="([^"]*)"', shown(page, "--window-size=800,900"))
    assert found is not None
    assert found[1].split(" | ") == [
        "once ascending: access-exclusive-on-existing long-hold rewrite truncate",
        "twice descending: truncate rewrite long-hold access-exclusive-on-existing",
        "by time true, redrawn",
        "wide enough",
    ]
