/* SPDX-License-Identifier: MIT */
/* calloc's first block brings as much as malloc's, and can use it to the last byte. All of it is zero as the kernel gave it. */
#include "snippet.h"

int main(void)
{
  expect_zero(os_calloc(125, 8), 1000);
  expect_zero(os_calloc(1, LARGEST), LARGEST);
  expect_zero(os_calloc(8, REQUEST(0x20000) / 8), REQUEST(0x20000));
  expect_zero(os_calloc(8, REQUEST(0x20000) / 8), REQUEST(0x20000));
  expect_zero(os_calloc(1, REQUEST(ROOM - 0x3f0 - 0x20010 - 0x40000)), REQUEST(ROOM - 0x3f0 - 0x20010 - 0x40000));
  expect_zero(os_calloc(1, 8), 8);
}
