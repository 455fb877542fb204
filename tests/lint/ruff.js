// SPDX-License-Identifier: MIT
// ruff.js FILE...   what ruff has to say of python files, a line each. Status 1: something.
// Run in the folder where npm has put ruff.
const { createRequire } = require("module");
const fs = require("fs");
const { Workspace, PositionEncoding } = createRequire(`${process.cwd()}/`)("@astral-sh/ruff-wasm-nodejs");

const off = {
  E501: "a line is as long as what it says",
  B007: "the names of a record's parts tell what it is, also where one is not used",
  B905: "what is zipped comes in pairs; strict= is new in python 3.10",
  PLW1510: "a status is looked at where it matters",
  PLW2901: "a range is cut to what is wanted under its own name",
  RET503: "refuse() does not come back",
  SIM108: "three ways in one line are harder to read than in four",
  SIM905: "names are written as words",
  UP031: "a count in a format of struct's reads best so",
  UP032: "the parts of one thing are named once",
};

const workspace = new Workspace({
  "target-version": "py39",
  lint: { select: ["E", "F", "W", "B", "C4", "PLE", "PLW", "RET", "SIM", "UP"], ignore: Object.keys(off) },
}, PositionEncoding.Utf32);
for (const path of process.argv.slice(2)) {
  for (const { code, message, start_location: at } of workspace.check(fs.readFileSync(path, "utf8"))) {
    console.log(`${path}:${at.row}:${at.column}: ${code} ${message}`);
    process.exitCode = 1;
  }
}
