// SPDX-License-Identifier: Apache-2.0

// A new account begins in the time zone of the browser it is made in.
for (const field of document.querySelectorAll("[data-zone]")) field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
