// SPDX-License-Identifier: MIT
'use strict';
// The heap on canvases, a cell for each granule. Point at one to be told what is there.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const place = document.getElementById('map');
  const tip = document.getElementById('tip');
  const legend = document.getElementById('legend');
  const LABEL = 118; // an address before each
  const CANVAS_MAX = 4000; // pixels high; browsers have a limit, far above
  let views = []; // a canvas each, and the chunks on it
  let cell = 4;
  let gap = 4; // between chunks
  let perLine = data.perChunk;

  // ---- what is where ----

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const number = (value) => value.toLocaleString('en-US');
  const hex = (value) => `0x${value.toString(16)}`;
  const chunkOf = (i) => data.chunks.find(([, , first, count]) => i >= first && i < first + count);
  const addressOf = (i, [start, , first] = chunkOf(i)) => start + (i - first) * data.granule;
  const fillOf = (i) => Math.min(1, data.live[i] / data.granule);

  function pinOfSlab(i) {
    const count = data.count[i];
    if (!count) return 'Nothing in it is in use.';
    if (data.pin[i] < 0) return `Pinned by ${number(count)} objects.`;
    const others = count > 1 ? ` and ${number(count - 1)} more` : '';
    return `Pinned by the object at ${hex(data.pin[i])}${others}.`;
  }

  function slabWords(i) {
    const size = data.sizes[data.sizeClass[i]];
    return [`slab of ${size} bytes`,
      `${number(data.count[i])} of ${number(Math.floor(data.usable / size))} objects in use`, pinOfSlab(i)];
  }

  function blockWords(i) {
    const count = data.count[i];
    const words = count === 1 ? 'part of a block in use' : `${number(count)} blocks in use`;
    return ['blocks', words, `Pinned by the block at ${hex(data.pin[i])} of ${number(data.pinBytes[i])} bytes${count > 1 ? ' and the others' : ''}.`];
  }

  function emptyWords(i) {
    const [, , first, count] = chunkOf(i);
    let next = i + 1;
    while (next < first + count && !data.count[next]) next++;
    const above = next < first + count
      ? `The next that is in use lies at ${hex(data.pin[next] > 0 ? data.pin[next] : addressOf(next))}.`
      : 'Nothing above it in this chunk is in use.';
    return [data.kinds[data.kind[i]], above];
  }

  function wordsOf(i) {
    const kind = data.kind[i];
    const [what, ...more] = kind === 's' ? slabWords(i) : kind === 'b' ? blockWords(i)
      : kind === 'm' ? [data.kinds.m, 'records of the slabs of this chunk'] : emptyWords(i);
    const bytes = kind === 'm' ? [] : [`${number(data.live[i])} bytes in use, ${number(data.free[i])} free in memory, `
      + `${number(data.gone[i])} given back or never used`];
    return [`${hex(addressOf(i))}: ${what}`, ...bytes, ...more].join('\n');
  }

  // ---- colours ----

  const between = (from, to, share) => `${parseFloat(from) + (parseFloat(to) - parseFloat(from)) * share}%`;

  function painter() {
    const names = ['free', 'metadata', 'given-back', 'never', 'unknown', 'slab-empty', 'slab-full', 'blocks-empty', 'blocks-full'];
    const of = Object.fromEntries(names.map((name) => [name, colour(name)]));
    const plain = { m: of.metadata, f: of.free, p: of['given-back'], t: of.never, u: of.unknown };
    const slab = (sizeClass, fill) => `hsl(${150 + 110 * sizeClass / data.sizes.length} 60% ${between(of['slab-empty'], of['slab-full'], fill)})`;
    const blocks = (fill) => `hsl(36 80% ${between(of['blocks-empty'], of['blocks-full'], fill)})`;
    const free = (share) => `color-mix(in srgb, ${of.free} ${Math.round(100 * share)}%, ${of.never})`;
    const steps = Array.from({ length: 17 }, (_, i) => free(i / 16));
    return {
      plain, slab, blocks, free,
      of(i, mode) {
        const kind = data.kind[i];
        if (mode === 'free' && kind !== 'm') return steps[Math.round(16 * Math.min(1, data.free[i] / data.granule))];
        return kind === 's' ? slab(data.sizeClass[i], fillOf(i)) : kind === 'b' ? blocks(fillOf(i)) : plain[kind];
      },
    };
  }

  function swatch(colourAt, words) {
    const item = document.createElement('span');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 12];
    const pen = canvas.getContext('2d');
    for (let x = 0; x < 64; x += 8) {
      pen.fillStyle = colourAt(x / 56);
      pen.fillRect(x, 0, 8, 12);
    }
    item.append(canvas, words);
    return item;
  }

  function showLegend(paint, mode) {
    const count = (kind) => number(sum([...data.kind].map((each) => (each === kind ? 1 : 0))));
    const largest = data.sizes.length - 1;
    const items = mode === 'free' ? [swatch(paint.free, 'from none to all of it free, in memory'), swatch(() => paint.plain.m, 'metadata')] : [
      swatch((share) => paint.slab(0, share), `slabs of ${data.sizes[0]} bytes, from empty to full ...`),
      swatch((share) => paint.slab(largest, share), `... to ${number(data.sizes[largest])}: ${count('s')}`),
      swatch(paint.blocks, `blocks, from empty to full: ${count('b')}`),
      ...Object.entries(paint.plain).filter(([kind]) => data.kind.includes(kind))
        .map(([kind, shade]) => swatch(() => shade, `${data.kinds[kind]}: ${count(kind)}`))];
    legend.replaceChildren(...items);
  }

  // ---- drawing ----

  const modeNow = () => document.querySelector('input[name=colour]:checked').value;
  const linesOf = ([, , , count]) => Math.ceil(count / perLine);

  // Few chunks have large cells, and several lines each.
  function chooseCells() {
    const width = Math.max(300, (onPaper() ? 700 : place.clientWidth) - LABEL);
    const parts = data.chunks.length <= 4 ? 4 : data.chunks.length <= 24 ? 2 : 1;
    perLine = Math.max(16, Math.ceil(data.perChunk / parts));
    cell = Math.max(2, Math.min(18, Math.floor(width / perLine)));
    gap = cell > 5 ? 4 : 1;
  }

  function groupsOfChunks() {
    const groups = [[]];
    let height = 0;
    for (const chunk of data.chunks) {
      const more = linesOf(chunk) * cell + gap;
      if (height && height + more > CANVAS_MAX) {
        groups.push([]);
        height = 0;
      }
      groups.at(-1).push(chunk);
      height += more;
    }
    return groups;
  }

  function drawGroup(chunks, paint, mode) {
    const canvas = document.createElement('canvas');
    const scale = window.devicePixelRatio || 1;
    const view = { canvas, rows: [], width: LABEL + perLine * cell, height: sum(chunks.map((each) => linesOf(each) * cell + gap)) };
    canvas.width = view.width * scale;
    canvas.height = view.height * scale;
    canvas.style.width = `${view.width}px`;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'The heap, a cell for each granule: the tables below say the same');
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    pen.font = '12px ui-monospace, monospace';
    pen.textBaseline = 'top';
    const inner = cell > 5 ? cell - 1 : cell;
    let top = 0;
    let labelled = -100;
    for (const chunk of chunks) {
      const [, , first, count] = chunk;
      view.rows.push({ top, chunk });
      if (top - labelled >= 14) {
        pen.fillStyle = colour('soft');
        pen.fillText(hex(chunk[0]), 0, top);
        labelled = top;
      }
      for (let i = 0; i < count; i++) {
        pen.fillStyle = paint.of(first + i, mode);
        pen.fillRect(LABEL + (i % perLine) * cell, top + Math.floor(i / perLine) * cell, inner, inner);
      }
      top += linesOf(chunk) * cell + gap;
    }
    return view;
  }

  function draw() {
    chooseCells();
    const [paint, mode] = [painter(), modeNow()];
    views = groupsOfChunks().map((chunks) => drawGroup(chunks, paint, mode));
    place.replaceChildren(...views.map((view) => view.canvas));
    for (const view of views) {
      view.canvas.addEventListener('pointermove', (event) => point(view, event));
      view.canvas.addEventListener('pointerdown', (event) => point(view, event));
      view.canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
    }
    showLegend(paint, mode);
    tip.hidden = true;
  }

  // ---- pointing ----

  // On paper and in narrow windows a canvas is shown smaller than it was drawn.
  function granuleAt(view, x, y) {
    const row = view.rows.findLast((each) => each.top <= y);
    const column = Math.floor((x - LABEL) / cell);
    if (!row || column < 0 || column >= perLine) return -1;
    const [, , first, count] = row.chunk;
    const i = Math.floor((y - row.top) / cell) * perLine + column;
    return i < count ? first + i : -1;
  }

  function point(view, event) {
    const box = view.canvas.getBoundingClientRect();
    const shown = view.width / box.width;
    const i = granuleAt(view, (event.clientX - box.left) * shown, (event.clientY - box.top) * shown);
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = wordsOf(i);
    tip.style.left = `${Math.min(event.clientX + 16, window.innerWidth - tip.offsetWidth - 8)}px`;
    const below = event.clientY + 16;
    tip.style.top = `${below + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 12 : below}px`;
  }

  // Where a granule's cell is, in the window: for those who have its address.
  function whereIs(address) {
    for (const view of views) {
      for (const { top, chunk } of view.rows) {
        const i = Math.floor((address - chunk[0]) / data.granule);
        if (i < 0 || i >= chunk[3]) continue;
        const box = view.canvas.getBoundingClientRect();
        const shown = box.width / view.width;
        return { x: box.left + (LABEL + (i % perLine + 0.5) * cell) * shown, y: box.top + (top + (Math.floor(i / perLine) + 0.5) * cell) * shown };
      }
    }
    return null;
  }
  window.heapMap = { whereIs };

  for (const input of document.querySelectorAll('input[name=colour]')) input.addEventListener('change', draw);
  whenLookChanges(draw);
  draw();
})();
