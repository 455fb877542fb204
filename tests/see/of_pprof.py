# SPDX-License-Identifier: MIT
"""of_pprof.py TYPE: what protoc has decoded, from stdin, as folded stacks of that sample type; on stderr the head of it."""
import collections
import json
import re
import sys


def message(lines):
    """{field: [values]} until the brace that ends it."""
    found = collections.defaultdict(list)
    for line in lines:
        line = line.strip()
        if line == "}":
            break
        if line.endswith("{"):
            found[line.split()[0]].append(message(lines))
        else:
            name, value = line.split(": ", 1)
            found[name].append(json.loads(re.sub(r"\\(\d{3})", lambda octal: f"\\u{int(octal[1], 8):04x}", value).replace("\\'", "'")))
    return found


profile = message(iter(sys.stdin))
text = profile["text"]
of = {kind: {each["id"][0]: each for each in profile[kind]} for kind in ("location", "function", "mapping")}
types = [(text[each["type"][0]], text[each["unit"][0]]) for each in profile["type"]]
print(types, text[profile["default_type"][0]], profile["period"], [text[each["file"][0]] for each in profile["mapping"]][0].split("/")[-1],
      all(set(each["mapping"]) <= set(of["mapping"]) for each in profile["location"]), text[0] == "", file=sys.stderr)
column, sums = [name for name, _ in types].index(sys.argv[1]), collections.Counter()
for sample in profile["sample"]:
    lines = [line for id_ in sample["location"] for line in of["location"][id_]["line"]]
    names = [text[of["function"][line["function"][0]]["name"][0]] for line in lines]
    sums[";".join(names[::-1])] += sample["value"][column]
print("".join(f"{stack} {bytes_}\n" for stack, bytes_ in sorted(sums.items()) if bytes_), end="")
