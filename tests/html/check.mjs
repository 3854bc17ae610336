// Opens pages of run, compare, sweep and demo in headless Chromium, light and dark, wide and narrow: no console message,
// no request, nothing that axe-core finds, nothing wider than the screen. With --shots DIR it keeps a picture of each, and
// a PDF as the page prints.
//
//   npm --prefix tests/html install
//   npm --prefix tests/html run check -- [--shots DIR] PAGE...
//
// A PAGE is a file, or a result's folder: then it is every page in it.
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import puppeteer from 'puppeteer-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// npm runs in the script's own folder: paths are meant from where it was called.
const from = process.env.INIT_CWD ?? process.cwd();
const args = process.argv.slice(2);
const at = args.indexOf('--shots');
const shots = at < 0 ? undefined : path.resolve(from, args.splice(at, 2)[1]);
const pagesOf = (place) => {
  const whole = path.resolve(from, place);
  if (!statSync(whole).isDirectory()) return [whole];
  return readdirSync(whole).filter((name) => name.endsWith('.html')).map((name) => path.join(whole, name));
};
const files = args.flatMap(pagesOf);
if (files.length === 0) {
  console.error('which pages? npm --prefix tests/html run check -- [--shots DIR] PAGE...');
  process.exit(2);
}
if (shots) mkdirSync(shots, { recursive: true });

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // Root, as in a container, has no sandbox to give away.
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});
const findings = [];
for (const [number, file] of files.entries()) {
  const name = `${number + 1}-${path.basename(file, '.html')}`;
  for (const scheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
      const found = (what) => findings.push(`${file}, ${scheme}, ${width} px: ${what}`);
      const page = await browser.newPage();
      page.on('console', (message) => found(`console: ${message.text()}`));
      page.on('pageerror', (error) => found(`error: ${error.message}`));
      page.on('request', (request) => {
        const own = request.isNavigationRequest() || request.url().startsWith('data:');
        if (!own) found(`request: ${request.url()}`);
      });
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      await page.goto(pathToFileURL(file).href);
      if (shots) {
        await page.screenshot({ path: path.join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
        if (scheme === 'light' && width === 1280) await page.pdf({ path: path.join(shots, `${name}.pdf`), format: 'A4' });
      }
      // What is folded away is part of the page as well.
      await page.evaluate(() => document.querySelectorAll('details').forEach((d) => (d.open = true)));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0) found(`${over} px wider than the screen`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const violation of violations) {
        for (const node of violation.nodes) found(`${violation.id}: ${node.failureSummary}\n    ${node.html}`);
      }
      await page.close();
    }
  }
}
await browser.close();
findings.forEach((finding) => console.error(finding));
console.log(`${files.length} pages, ${findings.length} findings`);
process.exit(findings.length > 0 ? 1 : 0);
