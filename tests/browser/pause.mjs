// Watches a stream in headless Chromium while it is paused and resumed by somebody else, and holds
// the player to going on: no error, no long stall. It does not know when the pause is.
//
//   node pause.mjs URL SCREENSHOTS SECONDS
//
// Prints one JSON line when it plays and one at the end.

import { chromium } from "playwright-core";

const [url, screenshots, seconds] = process.argv.slice(2);
const problems = [];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required"],
});

try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  page.on("pageerror", (error) => problems.push(`page error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) {
      problems.push(`console: ${message.text()} ${message.location().url}`);
    }
  });
  await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector("video", { state: "attached", timeout: 30_000 });
  await page.evaluate(() => {
    const video = document.querySelector("video");
    video.muted = true;
    return video.play().catch(() => {});
  });
  await page.waitForFunction(
    () => document.querySelector("video").currentTime > 1,
    undefined,
    { timeout: 60_000 },
  );
  // The longest time without progress, and each size that was shown, as the page itself sees them.
  await page.evaluate(() => {
    const video = document.querySelector("video");
    const state = { stall_ms: 0, sizes: [], at: performance.now(), time: video.currentTime };
    window.watched = state;
    setInterval(() => {
      const now = performance.now();
      if (video.currentTime > state.time) {
        state.at = now;
        state.time = video.currentTime;
      }
      state.stall_ms = Math.max(state.stall_ms, now - state.at);
      const size = `${video.videoWidth}x${video.videoHeight}`;
      if (state.sizes.at(-1) !== size) state.sizes.push(size);
    }, 50);
  });
  console.log(JSON.stringify({ playing: true }));
  const begin = await page.evaluate(() => document.querySelector("video").currentTime);
  const shots = Number(seconds) / 3;
  for (let shot = 1; shot <= shots; shot += 1) {
    await page.waitForTimeout(3000);
    await page.screenshot({ path: `${screenshots}/pause-${shot}.png` });
  }
  const seen = await page.evaluate(() => {
    const video = document.querySelector("video");
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    const { stall_ms, sizes } = window.watched;
    const error = video.error?.message ?? null;
    return { time: video.currentTime, error, totalVideoFrames, droppedVideoFrames, stall_ms, sizes };
  });
  if (seen.error) problems.push(`media error: ${seen.error}`);
  console.log(JSON.stringify({ begin, ...seen, problems }));
} finally {
  await browser.close();
}

process.exitCode = problems.length === 0 ? 0 : 1;
