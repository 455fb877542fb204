// SPDX-License-Identifier: MIT
'use strict';
// pages.js FOLDER SHOTS: opens the pages in FOLDER in Chromium, with no network, and compares them with what the other files there say. A line each:
// `ok WHAT` or `no WHAT: WHY`; last `end`. Pictures of them go into SHOTS.
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');

const [folder, shots] = process.argv.slice(2);
const json = (name) => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
const say = (line) => process.stdout.write(`${line.replace(/\n/g, ' ')}\n`);

async function check(what, question) {
  try {
    const wrong = await question();
    say(wrong ? `no ${what}: ${wrong}` : `ok ${what}`);
  } catch (error) {
    say(`no ${what}: ${error.message}`);
  }
}

const differs = (got, wanted) => (JSON.stringify(got) === JSON.stringify(wanted) ? '' : `got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
// Pages are drawn when the browser gets to it.
async function comes(question) {
  for (let turns = 0; turns < 200; turns++) {
    if (await question()) return true;
    await new Promise((done) => { setTimeout(done, 50); });
  }
  return false;
}
const lacks = (text, words) => {
  const missing = words.filter((each) => !text.includes(each));
  return missing.length ? `no ${JSON.stringify(missing)} in ${JSON.stringify(text)}` : '';
};

// ---- a page, and all that it complains of ----

async function open(browser, name, media = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, offline: true, ...media });
  const page = await context.newPage();
  page.faults = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) page.faults.push(message.text()); });
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('request', (request) => { if (!/^(file|data|blob):/.test(request.url())) page.faults.push(`asks for ${request.url()}`); });
  await page.addInitScript(() => {
    window.drawnTexts = [];
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
      window.drawnTexts.push(String(text));
      return fillText.call(this, text, ...rest);
    };
  });
  await page.goto(`file://${path.resolve(folder, name)}`);
  return page;
}

const shoot = (page, name, fullPage = true) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage });

// ---- what a page looks like ----

const coloursOf = (page, selector) => page.evaluate((which) => {
  const seen = new Set();
  for (const canvas of document.querySelectorAll(which)) {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 250) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  }
  return seen.size;
}, selector);

const picture = (page, selector) => page.evaluate((which) => [...document.querySelectorAll(which)].map((each) => each.toDataURL()).join(), selector);

// WCAG's contrast of the words in an element with the background of the page.
const contrast = (page, selector) => page.evaluate((which) => {
  const parts = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((each) => each / 255).map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [getComputedStyle(document.querySelector(which)).color, getComputedStyle(document.body).backgroundColor].map((each) => luminance(parts(each)));
  return { contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), background: b };
}, selector);

async function readable(page, dark) {
  for (const [selector, least] of [['h1', 7], ['td', 7], ['header p', 4.5]]) {
    const found = await contrast(page, selector);
    if (found.contrast < least) return `${selector} has a contrast of ${found.contrast.toFixed(1)}`;
    if (dark !== found.background < 0.1) return `the background has a luminance of ${found.background}`;
  }
  return '';
}

const fits = (page) => page.evaluate(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  return scrollWidth > clientWidth ? `${scrollWidth} pixels in a window of ${clientWidth}` : '';
});

async function light_and_dark(page, name, canvases) {
  const before = await picture(page, canvases);
  await check(`${name}: readable by day`, () => readable(page, false));
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.waitForFunction(() => matchMedia('(prefers-color-scheme: dark)').matches);
  await check(`${name}: readable in the dark`, () => readable(page, true));
  await check(`${name}: the canvas, too, is another in the dark`, async () => ((await comes(async () => (await picture(page, canvases)) !== before)) ? '' : 'it is the same'));
  await shoot(page, `${name}-dark`);
  await page.emulateMedia({ colorScheme: 'dark', media: 'print' });
  await page.waitForFunction(() => matchMedia('print').matches);
  await check(`${name}: readable on paper, for those in the dark`, () => readable(page, false));
  await page.pdf({ path: path.join(shots, `${name}.pdf`), printBackground: true });
  await page.setViewportSize({ width: 720, height: 900 });
  await check(`${name}: fits on paper`, () => fits(page));
  await shoot(page, `${name}-print`);
  await page.emulateMedia({ colorScheme: 'light', media: 'screen' });
  await page.setViewportSize({ width: 1280, height: 900 });
}

const keys = (page, table, column) => page.$$eval(`#${table} tbody tr`, (rows, at) => rows.map((row) => row.cells[at].dataset.key), column);

async function sorts(page, table, column) {
  const heading = page.locator(`#${table} th`).nth(column);
  const before = (await keys(page, table, column)).map(Number);
  if (new Set(before).size < 2) return `nothing to sort: ${before}`;
  const up = [...before].sort((a, b) => a - b);
  for (const [direction, wanted] of [['descending', [...up].reverse()], ['ascending', up], ['descending', [...up].reverse()]]) {
    await heading.locator('button').click();
    const wrong = differs((await keys(page, table, column)).map(Number), wanted) || differs(await heading.getAttribute('aria-sort'), direction);
    if (wrong) return wrong;
  }
  return '';
}

// ---- the map ----

async function tipAt(page, address) {
  await page.evaluate(() => document.getElementById('map').scrollIntoView());
  const at = await page.evaluate((which) => window.heapMap.whereIs(which), address);
  await page.mouse.move(at.x, at.y);
  const tip = page.locator('#tip');
  return (await tip.isVisible()) ? tip.textContent() : 'no tip';
}

async function map(browser) {
  const [stats, known] = [json('stats.json'), json('known.json')];
  const page = await open(browser, 'map.html');
  await shoot(page, 'map');
  await check('map: the sum is that of stats', async () => {
    const shown = (await keys(page, 'sum', 1)).map(Number);
    const { bytes } = stats;
    return differs([shown[0], shown[8], shown.at(-1)], [bytes.in_use, stats.active, stats.held])
      || differs(shown.filter((_, i) => i !== 8 && i !== shown.length - 1), known.order.map((name) => bytes[name]));
  });
  await check('map: so is that of its cells', async () => {
    const data = await page.evaluate(() => JSON.parse(document.getElementById('data').textContent));
    const inBlocksAndSlabs = [...data.kind].reduce((all, kind, i) => all + (kind === 'm' ? 0 : data.live[i]), 0);
    return differs(inBlocksAndSlabs + stats.mappings.live_bytes, stats.bytes.in_use);
  });
  await check('map: objects by size are those of stats', async () => {
    const shown = Object.fromEntries((await keys(page, 'classes', 0)).map((size, i) => [size, i]));
    const counts = await keys(page, 'classes', 2);
    return differs(stats.classes.map(({ size }) => Number(counts[shown[size]])), stats.classes.map(({ live }) => live));
  });
  await check('map: the canvas has many colours', async () => ((await coloursOf(page, '#map canvas')) < 6 ? 'few' : ''));
  await check('map: what is told of an object that is alone', async () => lacks(await tipAt(page, known.lone), [
    `0x${(known.lone - known.lone % 32768).toString(16)}: slab of 64 bytes`, '1 of 511 objects in use', '64 bytes in use', `0x${known.lone.toString(16)}`]));
  await shoot(page, 'map-tip', false);
  await check('map: and of a chunk', async () => lacks(await tipAt(page, known.chunk), [`0x${known.chunk.toString(16)}: metadata`]));
  await check('map: outside nothing is told', async () => {
    await page.mouse.move(2, 2);
    return (await page.locator('#tip').isVisible()) ? 'it stays' : '';
  });
  await check('map: by what is free it has other colours', async () => {
    const before = await picture(page, '#map canvas');
    await page.locator('input[value=free]').check();
    const other = await comes(async () => (await picture(page, '#map canvas')) !== before);
    await shoot(page, 'map-free');
    await page.locator('input[value=fill]').check();
    return other && (await comes(async () => (await picture(page, '#map canvas')) === before)) ? '' : 'no';
  });
  for (const [table, column] of [['classes', 0], ['few', 4]]) await check(`map: ${table} is sorted`, () => sorts(page, table, column));
  await check('map: fits the window', () => fits(page));
  await light_and_dark(page, 'map', '#map canvas');
  await check('map: no complaints, no requests', () => differs(page.faults, []));
}

// ---- curves ----

async function watch(browser) {
  const { samples } = json('watch.json');
  const page = await open(browser, 'watch.html');
  await shoot(page, 'watch');
  await check('watch: there are samples', () => (samples.length < 3 ? `only ${samples.length}` : ''));
  await check('watch: each curve has a point for each sample', async () => {
    const lengths = await page.evaluate(() => window.drawnCurves.flatMap((each) => each.data.map((values) => values.length)));
    return lengths.length < 10 ? `only ${lengths.length} curves` : differs([...new Set(lengths)], [samples.length]);
  });
  await check('watch: and its value', async () => {
    const drawn = await page.evaluate(() => window.drawnCurves[0].data.slice(0, 3));
    return differs(drawn, [samples.map((each) => each.seconds), samples.map((each) => each.resident), samples.map((each) => each.bytes.in_use)]);
  });
  await check('watch: the canvases have colours', async () => ((await coloursOf(page, '.uplot canvas')) < 6 ? 'few' : ''));
  await check('watch: the names of curves are there', async () => lacks(await page.locator('#curves').innerText(), ['resident', 'in use by the program', 'free objects in slabs']));
  await check('watch: samples are sorted', () => sorts(page, 'samples', 0));
  await check('watch: a row for each sample', async () => differs(await page.locator('#samples tbody tr').count(), Math.min(200, samples.length)));
  await check('watch: fits the window', () => fits(page));
  await light_and_dark(page, 'watch', '.uplot canvas');
  await check('watch: no complaints, no requests', () => differs(page.faults, []));
}

async function bare(browser) {
  const page = await open(browser, 'bare.html');
  await check('watch without uPlot: says so', async () => lacks(await page.locator('body').innerText(), ['make report', 'Samples']));
  await check('watch without uPlot: no complaints', () => differs(page.faults, []));
}

// ---- flame graphs ----

async function flame(browser) {
  const { frames, file } = json('flame.json');
  const page = await open(browser, file);
  await check('flame: it draws the names of the frames', async () => {
    const missing = (names) => names.filter((name) => !window.drawnTexts.some((text) => { // a long one is cut in its middle
      const [from, to] = text.split('…');
      return name === text || (to !== undefined && name.startsWith(from) && name.endsWith(to));
    }));
    await comes(async () => !(await page.evaluate(missing, frames)).length);
    return differs(await page.evaluate(missing, frames), []);
  });
  await shoot(page, 'flame', false);
  await check('flame: bytes are its unit', async () => {
    await page.getByText('Sandwich').click();
    await page.waitForSelector('table');
    const text = await page.locator('body').innerText();
    return lacks(text, frames) || (/\d ?[KM]i?B/.test(text) ? '' : `no bytes in ${text}`);
  });
  await shoot(page, 'flame-sandwich', false);
  await check('flame: no complaints, no requests', () => differs(page.faults, []));
}

async function main() {
  fs.mkdirSync(shots, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'] });
  try {
    for (const [needed, look] of [['map.html', map], ['watch.html', watch], ['bare.html', bare], ['flame.json', flame]])
      if (fs.existsSync(path.join(folder, needed))) await check(`${look.name}: all of it`, () => look(browser));
  } finally {
    await browser.close();
  }
  say('end');
}

main().catch((error) => {
  say(`no the browser: ${error.message}`);
  process.exitCode = 1;
});
