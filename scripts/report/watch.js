// SPDX-License-Identifier: MIT
'use strict';
// Curves over time. Each has the bytes of one thing; a click on its name hides it.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const place = document.getElementById('curves');
  const UNITS = [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']];

  function bytes(value) {
    if (value == null) return '';
    const [size, unit] = UNITS.find(([each]) => Math.abs(value) >= each) ?? UNITS.at(-1);
    return `${(value / size).toLocaleString('en-US', { maximumFractionDigits: value % size ? 2 : 0 })} ${unit}`;
  }

  // Round in the unit that the axis is shown in: 64 MiB, not 61.04.
  function splits(plot, axis, low, high) {
    const step = 2 ** Math.ceil(Math.log2(Math.max(1, (high - low) / 6)));
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
    return found;
  }

  const axis = (more) => ({ stroke: colour('soft'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line') }, ...more });

  // As many points as samples: uPlot draws one for each where there is room, else the line.
  function plot({ title, series }, box, width) {
    return new uPlot({
      title, width, height: 260,
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.05)] } },
      series: [{ label: 'seconds' }, ...series.map(({ name }, i) => ({
        label: name, stroke: colour(`curve-${i % 10}`), width: 1.75, value: (_, value) => bytes(value) }))],
      axes: [axis({}), axis({ size: 84, splits, values: (_, all) => all.map(bytes) })],
    }, [data.seconds, ...series.map(({ values }) => values)], box);
  }

  function draw() {
    const width = onPaper() ? 700 : place.clientWidth;
    for (const each of window.drawnCurves ?? []) each.destroy();
    place.replaceChildren();
    window.drawnCurves = data.curves.filter(({ series }) => series.length).map((curve) => {
      const box = document.createElement('div');
      box.className = 'curve';
      place.append(box);
      return plot(curve, box, width);
    });
  }

  whenLookChanges(draw);
  draw();
})();
