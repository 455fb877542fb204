# SPDX-License-Identifier: MIT
"""Pages for a browser: one file each, which holds all that it needs and asks no network.
Standard library only.

What is ours in them lies in report/ beside this file; uPlot and speedscope, which
`make report` fetches, in build/report of the tree, or installed, in the same report/.
"""

import base64
import html
import json
import os
import re

import osmem_heap

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDERS = [os.path.join(HERE, "report"), os.path.join(os.path.dirname(HERE), "build", "report")]
ROWS_MAX = 1000  # of a table in a page


class Unwritable(osmem_heap.Unreadable):
    """Why there is no report, in one line for a person, and the remedy."""


def find(name):
    return next((path for path in (os.path.join(each, name) for each in FOLDERS)
                 if os.path.isfile(path)), None)


def contents(name):
    """Of a file of ours, or of a package."""
    path = find(name)
    if not path:
        raise Unwritable(f"{name} is not there: run make report in osmem's tree, which fetches it by npm")
    with open(path, "rb") as file:
        return file.read()


def part(name):
    return contents(name).decode()


def has(name):
    return find(name) is not None


# ---- a page -----------------------------------------------------------------------------

def script_json(data):
    """JSON that may stand in a <script>: no < in it ends one, or begins a comment."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def script_text(text):
    """Of a script or a style: that may stand in the page. Where its source map lies is of no use there."""
    text = re.sub(r"^(//|/\*)# sourceMappingURL=.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"</(script|style)", r"<\\/\1", text, flags=re.IGNORECASE)


def filled(template, values):
    """{{name}} replaced, in one pass: what a value holds is left alone."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found.group(1)], template)


def page(title, body, data, scripts, styles=()):
    """The names are of files in the folders above. page.css is the last, so that it has its way."""
    return filled(part("page.html"), {
        "title": html.escape(title), "body": body, "data": script_json(data),
        "style": "\n".join(script_text(part(name)) for name in (*styles, "page.css")),
        "script": "\n".join(script_text(part(name)) for name in ("table.js", *scripts))})


def write(path, text):
    """Or bytes."""
    try:
        with open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
    except OSError as why:
        raise Unwritable(f"{path}: {why.strerror}") from None


def check_writable(path):
    """Before an hour of looks, not after it. What lies there stays as it is."""
    try:
        with open(path, "a"):
            pass
    except OSError as why:
        raise Unwritable(f"{path}: {why.strerror}") from None


# ---- tables -----------------------------------------------------------------------------

def number(value):
    return f"{value:,}"


def share(value):
    return f"{value:.0%}"


def address(value):
    return f"{value:#x}"


def bar(value):
    """A share as a bar."""
    return f'<i class="bar" style="width:{100 * value:.2f}%"></i>'


def text(value):
    return html.escape(str(value))


def addresses(values):
    return " ".join(map(address, values))


CLASSES = {text: ' class="text"', address: ' class="text mono"', addresses: ' class="text mono"', bar: ' class="bar"'}


def cell(form, value):
    if value is None:
        return "<td></td>"
    return f'<td data-key="{html.escape(str(value))}"{CLASSES.get(form, "")}>{form(value)}</td>'


def heading(words, form, sortable):
    words = html.escape(words)
    return f'<th scope="col"{CLASSES.get(form, "")}>{f"<button>{words}</button>" if sortable and words else words}</th>'


def table(name, caption, columns, rows, sortable=True):
    """Columns: (heading, one of the forms above). Of very many rows the first."""
    head = "".join(heading(words, form, sortable) for words, form in columns)
    lines = ["<tr>" + "".join(cell(form, value) for (_, form), value in zip(columns, row)) + "</tr>"
             for row in rows[:ROWS_MAX]]
    more = f"<p>And {len(rows) - ROWS_MAX:,} more.</p>" if len(rows) > ROWS_MAX else ""
    return "\n".join((f'<section><h2>{html.escape(caption)}</h2><div class="wide">',
                      f'<table id="{name}"{" class=sortable" if sortable else ""}>',
                      f"<thead><tr>{head}</tr></thead><tbody>", *lines,
                      f"</tbody></table></div>{more}</section>\n"))


def sum_table(sums):
    """As `osmem stats` shows it."""
    active = sum(sums[name] for name in osmem_heap.ACTIVE)
    held = sum(sums.values()) or 1
    rows = [(words, active, None) if name is None else (words, sums[name], sums[name] / held)
            for name, words in osmem_heap.LINES]
    rows.append(("= address space held", sum(sums.values()), None))
    return table("sum", "Where the memory is", (("", text), ("bytes", number), ("", bar)), rows, False)


# ---- flame graphs -----------------------------------------------------------------------

def folded_profile(folded, title, unit):
    """Lines of `outer;inner weight`, as a profile in speedscope's own format, which knows units."""
    numbers, samples, weights = {}, [], []
    for line in folded.splitlines():
        stack, _, weight = line.strip().rpartition(" ")
        if not stack:
            continue
        try:
            weights.append(int(weight))
        except ValueError:
            raise Unwritable(f"not a line of folded stacks: {line[:80]}") from None
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in stack.split(";")])
    if not samples:
        raise Unwritable("there are no stacks to draw")
    return {"$schema": "https://www.speedscope.app/file-format-schema.json", "name": title,
            "exporter": "osmem", "activeProfileIndex": 0,
            "shared": {"frames": [{"name": frame} for frame in numbers]},
            "profiles": [{"type": "sampled", "name": title, "unit": unit, "startValue": 0,
                          "endValue": sum(weights), "samples": samples, "weights": weights}]}


def with_font(style):
    """What the style asks for from beside it stands in it."""
    font = base64.b64encode(contents("speedscope.woff2")).decode()
    return re.sub(r'url\([^)]*\.woff2"?\)', f'url("data:font/woff2;base64,{font}")', style)


def flame(profile, title, path, unit="bytes"):
    """Writes one page with speedscope and the profile in it: folded stacks, or JSON that
    speedscope reads, as text or as what json.loads makes of it."""
    if isinstance(profile, str):
        profile = json.loads(profile) if profile.lstrip()[:1] == "{" else folded_profile(profile, title, unit)
    write(path, filled(part("flame.html"), {
        "title": html.escape(title), "data": script_json(profile),
        "style": script_text(with_font(part("speedscope.css"))),
        "licence": html.escape(part("speedscope.LICENSE")).replace("--", "- -"),
        "script": script_text(part("speedscope.js")), "load": script_text(part("flame.js"))}))
