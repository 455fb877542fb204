# SPDX-License-Identifier: MIT
"""outcomes.py FOLDER: the cases that passed, one a line, sorted. A test suite left files there: JUnit's XML (regrtest, pytest), or TAP,
whose cases get the file's name in front. A skipped, expected or missing failure is no pass; neither is half a file."""
import pathlib
import re
import sys
import xml.etree.ElementTree


def of_junit(path):
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        done = case.get("result", "completed") == "completed"
        if done and not any(child.tag in ("failure", "error", "skipped") for child in case):
            yield f"{case.get('classname') or ''} {case.get('name')}".strip()


def of_tap(path):
    for line in path.read_text(errors="replace").splitlines():
        passed = re.match(r"ok\b *\d* *(?:- )?(.*)", line)
        if passed and not re.search(r"# *(skip|todo)", line, re.IGNORECASE):
            yield f"{path.stem}: {passed[1]}"


def outcomes(path):
    if path.suffix == ".tap":
        return of_tap(path)
    try:
        return list(of_junit(path))
    except xml.etree.ElementTree.ParseError:
        return []


files = [path for path in pathlib.Path(sys.argv[1]).iterdir() if path.suffix in (".tap", ".xml")]
for name in sorted({name for path in files for name in outcomes(path)}):
    print(name)
