// SPDX-License-Identifier: MIT
'use strict';
// Hands the profile that lies in the page to speedscope, as if somebody had pasted it: that way it asks for no file.
(() => {
  const profile = document.getElementById('data').textContent;
  const event = new Event('paste', { cancelable: true });
  Object.defineProperty(event, 'clipboardData', { value: { getData: () => profile } });
  document.dispatchEvent(event);
})();
