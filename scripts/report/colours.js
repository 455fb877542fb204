// SPDX-License-Identifier: MIT
'use strict';
// What the canvases share: the colours of page.css, and to be drawn anew when those, or the width, change.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const onPaper = () => matchMedia('print').matches;

function whenLookChanges(draw) {
  for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', draw);
  let width = window.innerWidth;
  let due = 0;
  addEventListener('resize', () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    cancelAnimationFrame(due);
    due = requestAnimationFrame(draw);
  });
}
