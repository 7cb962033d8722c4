// Opens a watch page in headless Chromium and holds it to playing: the clock advances, pictures are
// decoded, nothing is complained about. It does not know how the page plays.
//
//   node watch.mjs URL SCREENSHOT SECONDS

import { chromium } from "playwright-core";

const [url, screenshot, seconds] = process.argv.slice(2);
const problems = [];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
  ],
});

try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  page.on("pageerror", (error) => problems.push(`page error: ${error.message}`));
  page.on("console", (message) => {
    // The icon is the browser's own idea, not the page's.
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico")) {
      problems.push(`console: ${message.text()} ${message.location().url}`);
    }
  });
  page.on("response", (response) => {
    if (response.status() >= 400 && !response.url().endsWith("/favicon.ico")) {
      problems.push(`${response.status()} ${response.url()}`);
    }
  });

  await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector("video", { state: "attached", timeout: 30_000 });
  // A page may wait for the viewer's click before it makes a sound: a muted one may always play.
  await page.evaluate(() => {
    const video = document.querySelector("video");
    video.muted = true;
    return video.play().catch(() => {});
  });
  const playing = (since) =>
    page.waitForFunction(
      (time) => {
        const video = document.querySelector("video");
        return video.readyState >= 2 && video.currentTime > time;
      },
      since,
      { timeout: 60_000 },
    );
  await playing(0);
  const begin = await page.evaluate(() => document.querySelector("video").currentTime);
  await playing(begin + Number(seconds));

  const seen = await page.evaluate(() => {
    const video = document.querySelector("video");
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    return {
      width: video.videoWidth,
      height: video.videoHeight,
      time: video.currentTime,
      error: video.error?.message ?? null,
      totalVideoFrames,
      droppedVideoFrames,
    };
  });
  await page.screenshot({ path: screenshot });
  if (seen.error) problems.push(`media error: ${seen.error}`);
  console.log(JSON.stringify({ browser: browser.version(), ...seen, problems }));
} finally {
  await browser.close();
}

process.exitCode = problems.length === 0 ? 0 : 1;
