// The player where it is a guest: in a frame of another site, with captions, with several qualities,
// on a page that came without HTTPS. It does not know the room.
//
//   node embed.mjs BASE_URL CLIP, with SCREENSHOTS naming a folder

import { createServer } from "node:http";
import { Browser } from "./browser.mjs";
import { addCaptions } from "./captions.mjs";
import { finish, firstPicture_ms, HOSTILE, harmless, PASSWORD, plays, publish, rest, state, steps, WAIT } from "./acts.mjs";

const [base, clip] = process.argv.slice(2);
const screenshots = process.env.SCREENSHOTS;
const { port } = new URL(base);
const CAPTION = "MIND THE GAP";

const browser = await Browser.launch(screenshots);
const page = await browser.window("guest", base);
const step = steps({ guest: page }, screenshots);

await rest(base, "POST", "/token/?create=true", { username: "dora", email: "dora@example.com", password: PASSWORD });
const { data: { token } } = await rest(base, "POST", "/token/", { username: "dora", password: PASSWORD });
// Names that no page shows today; none may run should one do so tomorrow.
await rest(base, "PATCH", "/users/dora/", { first_name: HOSTILE, last_name: HOSTILE }, token);
await rest(base, "PATCH", "/channels/dora/", { name: HOSTILE, description: HOSTILE }, token);
const { uid, key, rtmp_url: server } = await rest(base, "POST", "/streams/", { title: HOSTILE, description: HOSTILE }, token);
const captioned = `${screenshots}/captioned.flv`;
addCaptions(clip, captioned, CAPTION);
const encoder = publish(captioned, server, key);

/** The other site: whatever its path says, framed. */
const foreign = createServer((request, reply) => {
  const framed = decodeURIComponent(new URL(request.url, "http://foreign.test").searchParams.get("frame") ?? "");
  reply.setHeader("content-type", "text/html");
  reply.end(framed ? `<!doctype html><html lang="en"><title>Elsewhere</title><link rel="icon" href="data:,"><h1>Elsewhere</h1><iframe title="Live stream" src="${base}${framed.replaceAll("&", "&amp;")}" width="640" height="360" allow="autoplay; fullscreen"></iframe>` : "");
});
await new Promise((done) => foreign.listen(0, "127.0.0.1", done));

/** Opens the other site with `path` of ours in its frame; gives the frame. */
async function frame(path) {
  await page.goto(`http://foreign.test:${foreign.address().port}/?frame=${encodeURIComponent(path)}`);
  return (await page.waitForSelector("iframe", WAIT)).contentFrame();
}
const video = (where) => where.evaluate(() => {
  const { muted, paused } = document.querySelector("video");
  return { muted, paused, language: document.documentElement.lang };
});
async function holds(where, wanted) {
  const seen = JSON.stringify(await video(where));
  if (seen !== JSON.stringify(wanted)) throw new Error(`${seen} instead of ${JSON.stringify(wanted)}`);
}

try {
  await step("in another site's frame it begins by itself, silent, in Spanish", async () => {
    await page.goto(`${base}/watch/${uid}`);
    await state(page, "live");
    const framed = await frame(`/embed/${uid}?autoplay=1&muted=1&lang=es`);
    await plays(framed);
    await holds(framed, { muted: true, paused: false, language: "es" });
    await framed.waitForSelector(".unmute:has-text('Activar sonido')", WAIT);
    await page.screenshot({ path: `${screenshots}/embed-framed.png` });
    await browser.axe(page, "embed");
  });

  await step("with autoplay alone it has sound; without, it waits", async () => {
    const loud = await frame(`/embed/${uid}?autoplay=1&lang=${encodeURIComponent(HOSTILE)}`);
    await plays(loud);
    await holds(loud, { muted: false, paused: false, language: "en" });
    await harmless(loud);
    const waiting = await frame(`/embed/${uid}`);
    await waiting.waitForSelector(".begin:has-text('Play')", WAIT);
    await waiting.waitForFunction(() => document.querySelector("video").poster, null, WAIT);
    await holds(waiting, { muted: false, paused: true, language: "en" });
    await page.screenshot({ path: `${screenshots}/embed-waiting.png` });
    await waiting.click(".begin");
    await plays(waiting);
  });

  await step("no other page lets itself be framed", async () => {
    for (const path of [`/watch/${uid}`, "/studio", "/"]) {
      const complaint = browser.expect("frame-ancestors");
      const refused = await frame(path);
      await complaint;
      if (refused.url().startsWith(base)) throw new Error(`${refused.url()} is framed`);
    }
  });

  await step("the embed by itself, and how fast", async () => {
    await page.goto(`${base}/embed/${uid}?autoplay=1&muted=1`);
    console.log(`the embed's first picture after ${await firstPicture_ms(page)} ms`);
    await page.goto(`${base}/watch/${uid}`);
    console.log(`the watch page's first picture after ${await firstPicture_ms(page)} ms`);
    await page.goto(`${base}/embed/${uid}?autoplay=1&muted=1&lang=es`);
    await plays(page);
    await browser.look(page, "embed");
  });

  await step("captions are offered, shown and taken away", async () => {
    await page.goto(`${base}/watch/${uid}`);
    await plays(page);
    const button = ".controls button[aria-label='Captions']";
    await page.waitForSelector(`${button}[aria-pressed=false]`, WAIT);
    const showing = (wanted) => page.waitForFunction((text) => {
      const track = [...document.querySelector("video").textTracks].find((one) => one.kind === "captions");
      const shown = track?.mode === "showing" ? [...(track.activeCues ?? [])].map((cue) => cue.text).join() : "";
      return text ? shown.includes(text) : track?.mode !== "showing";
    }, wanted, WAIT);
    await page.click(button);
    await showing(CAPTION);
    await page.waitForSelector(`${button}[aria-pressed=true]`, WAIT);
    await browser.look(page, "captions");
    await page.click(button);
    await showing(null);
  });

  await step("picture in picture, and back", async () => {
    const floats = (wanted) => page.waitForFunction((id) => (document.pictureInPictureElement?.id ?? null) === id, wanted, WAIT);
    await page.click(".controls button[aria-label='Picture in picture']");
    await floats("video");
    await plays(page);
    await page.click(".controls button[aria-label='Picture in picture']");
    await floats(null);
  });

  await step("one quality is no choice, two are", async () => {
    if (await page.isVisible(".quality")) throw new Error("a menu with one quality");
    const master = await (await fetch(`${base}/live/${uid}/index.m3u8`)).text();
    const media = `/live/${uid}/source/index.m3u8`;
    const codecs = /CODECS="[^"]*"/.exec(master)[0];
    const levels = [[3_000_000, "1280x720"], [800_000, "640x360"]].map(([rate, size], n) =>
      `#EXT-X-STREAM-INF:BANDWIDTH=${rate},RESOLUTION=${size},${codecs}\n${media}?level=${n}\n`);
    await page.route(`**/live/${uid}/index.m3u8`, (route) => route.fulfill({
      contentType: "application/vnd.apple.mpegurl", body: `#EXTM3U\n${levels.join("")}`,
    }));
    await page.reload();
    await plays(page);
    await page.waitForSelector(".quality:visible", WAIT);
    const offered = await page.locator(".quality option").allTextContents();
    if (offered.join() !== "Automatic,720p,360p" && offered.join() !== "Automatic,360p,720p") throw new Error(`offered ${offered}`);
    for (const [n, name] of ["360p", "720p"].entries()) {
      const asked = page.waitForRequest((request) => request.url().endsWith(`?level=${n === 0 ? 1 : 0}`), WAIT);
      await page.selectOption(".quality", { label: name });
      await asked;
      await plays(page);
    }
    await page.focus(".quality");
    await browser.look(page, "quality");
    await page.unroute(`**/live/${uid}/index.m3u8`);
  });

  await step("without HTTPS the page plays, and says why there is no microphone", async () => {
    const plain = await browser.window("plain", `http://watch.test:${port}`);
    await plain.goto(`http://watch.test:${port}/watch/${uid}`);
    if (await plain.evaluate(() => window.isSecureContext)) throw new Error("the context is secure");
    await plays(plain);
    await plain.click("#tab-voice");
    await plain.waitForSelector("#panel-voice:has-text('browsers allow it only over HTTPS')", WAIT);
    await browser.look(plain, "voice-insecure");
    await plain.context().close();
  });

  await step("where hls.js cannot work, the browser's own HLS plays", async () => {
    const native = await browser.window("native", base);
    await native.addInitScript(() => {
      for (const name of ["MediaSource", "ManagedMediaSource", "WebKitMediaSource"]) delete window[name];
      const { canPlayType } = HTMLMediaElement.prototype;
      HTMLMediaElement.prototype.canPlayType = function can(type) {
        return type === "application/vnd.apple.mpegurl" ? "maybe" : canPlayType.call(this, type);
      };
    });
    await native.goto(`${base}/watch/${uid}`);
    await state(native, "live");
    await native.waitForFunction((address) => document.querySelector("video").src === address, `${base}/live/${uid}/index.m3u8`, WAIT);
    await plays(native);
    await native.waitForSelector(".golive:visible:not(.behind):has-text('Live')", WAIT);
    await browser.look(native, "watch-native");
    // Chromium tells no live edge, Safari does: as there, so far behind it.
    const behind = (seconds) => native.evaluate((s) => {
      const video = document.querySelector("video");
      Object.defineProperty(video, "seekable", { configurable: true, value: { length: 1, start: () => 0, end: () => video.currentTime + s } });
    }, seconds);
    const said = (words) => native.waitForFunction((text) => document.querySelector(".time").textContent === text, words, WAIT);
    await behind(4);
    await said("4 s behind");
    await native.waitForSelector(".golive:not(.behind)", WAIT);
    await behind(30);
    await said("30 s behind");
    await native.waitForSelector(".golive.behind:has-text('Back to live')", WAIT);
    await native.context().close();
  });

  await harmless(page);
} catch (error) {
  browser.problems.push(error.message);
} finally {
  encoder.kill("SIGKILL");
  foreign.close();
}
await finish(browser);
