// SPDX-License-Identifier: Apache-2.0

// Buttons that lead to a line of the editor: <button data-goto="document" data-line="12">.
app.on("click", "[data-goto]", (event, button) => document.getElementById(button.dataset.goto)?.goto?.(Number(button.dataset.line), 1));
