// SPDX-License-Identifier: MIT
'use strict';
// Tables whose class is sortable are sorted by a column when its heading is clicked: numbers the largest first,
// words from A on; another click turns it round. What is compared is data-key, not what is shown.
(() => {
  const keyOf = (row, column) => row.cells[column]?.dataset.key ?? '';

  function compare(a, b) {
    const [x, y] = [Number(a), Number(b)];
    return a !== '' && b !== '' && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a.localeCompare(b);
  }

  function sort(table, column) {
    const heading = table.tHead.rows[0].cells[column];
    const rows = [...table.tBodies[0].rows];
    const numbers = rows.every((row) => !Number.isNaN(Number(keyOf(row, column))));
    const before = heading.getAttribute('aria-sort');
    const ascending = before ? before === 'descending' : !numbers;
    rows.sort((a, b) => (ascending ? 1 : -1) * compare(keyOf(a, column), keyOf(b, column)));
    for (const each of table.tHead.rows[0].cells) each.removeAttribute('aria-sort');
    heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    table.tBodies[0].append(...rows);
  }

  for (const table of document.querySelectorAll('table.sortable')) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      heading.querySelector('button')?.addEventListener('click', () => sort(table, column));
    });
  }
})();
