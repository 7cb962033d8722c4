// Chromium for the walks: pages that tell every complaint, screenshots in each look, axe-core's
// findings. It does not know what a page is for.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

export class Browser {
  /** What pages complained about. */
  problems = [];
  /** True while the server is meant to be away: its absence is then no complaint. */
  away = false;
  /** Complaints that a step provokes, each once: a part of their words, and who waits. */
  expected = [];

  static async launch(screenshots) {
    const made = new Browser();
    made.screenshots = screenshots;
    mkdirSync(screenshots, { recursive: true });
    made.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--autoplay-policy=no-user-gesture-required",
        // Sites that are not this machine, as the browser sees them.
        "--host-resolver-rules=MAP *.test 127.0.0.1",
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
      ],
    });
    return made;
  }

  /** A window of its own, as another person's. */
  async window(name, base, options = {}) {
    const context = await this.chromium.newContext({ viewport: SIZES.desktop, locale: "en-GB", ...options });
    const { hostname, origin } = new URL(base);
    // Without HTTPS there is nothing to grant, except on this machine.
    if (hostname === "127.0.0.1") await context.grantPermissions(["microphone", "clipboard-read", "clipboard-write"], { origin });
    const page = await context.newPage();
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
      });
      // So that a walk can ask each connection what it counted.
      const Original = window.RTCPeerConnection;
      window.calls = [];
      window.RTCPeerConnection = class extends Original {
        constructor(...values) {
          super(...values);
          window.calls.push(this);
        }
      };
    });
    const note = (text) => {
      const at = this.expected.findIndex(({ words }) => text.includes(words));
      if (at >= 0) this.expected.splice(at, 1)[0].came();
      else if (!this.away) this.problems.push(`${name}: ${text}`);
    };
    page.on("pageerror", (error) => note(`page error: ${error.stack}`));
    page.on("console", (message) => {
      if (message.type() === "error") note(`console: ${message.text()} ${message.location().url}`);
    });
    return page;
  }

  /** The next complaint with these words is what a step is about; resolves when it came. */
  expect(words) {
    return new Promise((came) => this.expected.push({ words, came }));
  }

  /** Light and dark, desktop and phone; the whole page, also what one would scroll to. */
  async look(page, name) {
    const before = page.viewportSize();
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        // What sticks to the window would stand in the middle of a picture of the whole page.
        await page.evaluate(() => window.scrollTo({ top: 0, behavior: "instant" }));
        await page.screenshot({ path: join(this.screenshots, `${name}-${size}-${colorScheme}.png`), fullPage: true });
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(before);
  }

  /** Notes axe-core's serious and critical findings, in both colour schemes. */
  async axe(page, name) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      // Evaluated by the driver: the page's policy would not let it in, and need not.
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const { id, impact, nodes } of violations) {
        if (!["serious", "critical"].includes(impact)) continue;
        for (const { html, failureSummary } of nodes.slice(0, 5)) {
          this.problems.push(`axe ${name} ${colorScheme}: ${id}: ${html} ${failureSummary}`);
        }
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
  }

  close() {
    return this.chromium.close();
  }
}
