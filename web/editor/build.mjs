// SPDX-License-Identifier: Apache-2.0

// Writes the parts of web/static that come from npm packages: the editor bundle, the icon sprite, htmx and the fonts,
// and axe-core for the browser tests. Run by developers after a change here: npm ci && npm run build. The results are
// committed, so that building syncline needs no Node.js.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const out = new URL("../static/", import.meta.url).pathname;
const test = new URL("../webtest/testdata/", import.meta.url).pathname;
const from = (path) => new URL(`node_modules/${path}`, import.meta.url).pathname;

await mkdir(`${out}vendor`, { recursive: true });
await mkdir(`${out}fonts`, { recursive: true });
await mkdir(test, { recursive: true });

await build({
  entryPoints: ["src/editor.js"],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome120", "firefox121", "safari17"],
  legalComments: "none",
  banner: { js: "/* Syncline YAML editor. Built by web/editor from CodeMirror 6 and Lezer (MIT). Do not edit. */" },
  outfile: `${out}vendor/editor.js`,
});

// The sprite holds the icons listed in icons.txt, one symbol each. ui.Icon refers to them by name, and a test checks
// that the names agree.
const names = (await readFile("icons.txt", "utf8")).split(/\s+/).filter(Boolean).sort();
let sprite = "<!-- Icons from lucide 1.62.0 (ISC licence, see vendor/LICENSES.md). Built by web/editor. Do not edit. -->\n";
sprite += '<svg xmlns="http://www.w3.org/2000/svg">\n';
for (const name of names) {
  const svg = await readFile(from(`lucide-static/icons/${name}.svg`), "utf8");
  const body = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>")).replace(/\s*\n\s*/g, "");
  sprite += `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round">${body}</symbol>\n`;
}
await writeFile(`${out}vendor/icons.svg`, sprite + "</svg>\n");

await copyFile(from("htmx.org/dist/htmx.min.js"), `${out}vendor/htmx.js`);
await copyFile(from("@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"), `${out}fonts/inter.woff2`);
await copyFile(from("@fontsource-variable/geist-mono/files/geist-mono-latin-wght-normal.woff2"), `${out}fonts/mono.woff2`);
await copyFile(from("axe-core/axe.min.js"), `${test}axe.min.js`);

for (const file of ["vendor/editor.js", "vendor/icons.svg", "vendor/htmx.js", "fonts/inter.woff2", "fonts/mono.woff2"]) {
  const body = await readFile(out + file);
  console.log(`${file.padEnd(20)} ${String(body.length).padStart(7)} bytes, ${String(gzipSync(body, { level: 9 }).length).padStart(7)} gzip`);
}
