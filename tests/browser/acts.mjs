// What people do with the pages, and how it is seen that it worked. It does not know any walk's plan.

import { spawn, spawnSync } from "node:child_process";

/** In every field that takes text. */
export const HOSTILE = `<img src=x onerror="window.ran=1"><script>window.ran=1</script>`;
export const PASSWORD = "correct horse battery";
export const WAIT = { timeout: 30_000 };

/** Gives a function that does one named step of a walk, and says how far the `pages` were when it fails. */
export function steps(pages, screenshots) {
  const began = Date.now();
  return async (name, act) => {
    console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${name}`);
    try {
      await act();
    } catch (error) {
      for (const [who, page] of Object.entries(pages)) {
        await page.screenshot({ path: `${screenshots}/failed-${who}.png` }).catch(() => {});
      }
      throw new Error(`${name}: ${error.message}`, { cause: error });
    }
  };
}

/** What the test around this one writes next. */
export const answer = () => new Promise((done) => process.stdin.once("data", (data) => done(String(data).trim())));

export const state = (page, wanted) => page.waitForSelector(`#status[data-state="${wanted}"], .facts .status[data-state="${wanted}"]`, WAIT);

const frames = (page) => page.evaluate(() => {
  const video = document.querySelector("video");
  return { time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames };
});

/** Pictures keep coming and the position goes on. `page` may be a frame. */
export async function plays(page, seconds = 2) {
  const before = await frames(page).catch(() => ({ time: 0, frames: 0 }));
  await page.waitForFunction(({ time, frames: count, seconds: more }) => {
    const video = document.querySelector("video");
    return video && !video.paused && video.currentTime !== time && video.readyState >= 2
      && video.getVideoPlaybackQuality().totalVideoFrames > count + more * 10;
  }, { ...before, seconds }, { timeout: 60_000 });
}

/** Milliseconds from the opening of the page to its first decoded picture. */
export async function firstPicture_ms(page) {
  const shown = await page.waitForFunction(() => {
    const video = document.querySelector("video");
    return video?.getVideoPlaybackQuality().totalVideoFrames > 0 && performance.now();
  }, null, { polling: "raf", ...WAIT });
  return Math.round(await shown.jsonValue());
}

/** Fills the dialog's form and sends it, past what the browser itself would refuse. */
export async function fillAccount(page, fields) {
  for (const [name, value] of Object.entries(fields)) await page.fill(`#account-${name}`, value);
  await page.evaluate(() => { document.querySelector("dialog form").noValidate = true; });
  await page.click("dialog form button:not([type=button])");
}

export const loggedIn = (page, name) => page.waitForSelector(`#account .who:has-text("${name}")`, WAIT);

export async function signUp(page, name) {
  await fillAccount(page, { username: name, email: `${name}@example.com`, password: PASSWORD });
  await loggedIn(page, name);
}

/** Publishes a clip over and over, or what ffmpeg makes of other arguments, until the child is killed. */
export function publish(media, server, key) {
  const made = Array.isArray(media) ? media : ["-stream_loop", "-1", "-i", media, "-c", "copy"];
  return spawn("ffmpeg", ["-nostdin", "-v", "warning", "-re", ...made, "-f", "flv", `${server.replace(/\/$/, "")}/${key}`],
    { stdio: ["ignore", "inherit", "inherit"] });
}

/** Frames of AAC a second, at 48 kHz. */
const AAC_FPS = 48_000 / 1024;

/** Holds a file to being readable from its first packet to its last; gives its size and length. */
export function whole(file) {
  const run = (command, ...rest) => {
    const { status, stdout, stderr } = spawnSync(command, ["-v", "error", ...rest], { encoding: "utf8" });
    if (status !== 0 || stderr) throw new Error(`${command}: ${status} ${stderr.slice(0, 2000)}`);
    return stdout;
  };
  const { streams, format } = JSON.parse(run("ffprobe", "-count_packets", "-show_entries", "stream=codec_type,nb_read_packets:format=size", "-of", "json", file));
  const packets = Object.fromEntries(streams.map((one) => [one.codec_type, Number(one.nb_read_packets)]));
  if (!packets.video || !packets.audio) throw new Error(`the file holds ${JSON.stringify(packets)}`);
  // Not by its times, which begin anew with each session.
  return { bytes: Number(format.size), seconds: packets.audio / AAC_FPS };
}

/** Goes through a page with the Tab key: whatever has the focus shows it. */
export async function ringed(page, presses = 40) {
  await page.evaluate(() => document.activeElement?.blur());
  let seen = 0;
  for (let press = 0; press < presses; press += 1) {
    await page.keyboard.press("Tab");
    const bare = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one || one === document.body) return null;
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      return outlineStyle === "none" || outlineWidth === "0px" ? one.outerHTML.slice(0, 200) : "";
    });
    if (bare) throw new Error(`without a ring: ${bare}`);
    if (bare === "") seen += 1;
  }
  if (seen < presses / 2) throw new Error(`only ${seen} of ${presses} presses found anything`);
}

export async function say(page, text) {
  await page.waitForSelector(".chat .say button:has-text('Send'):enabled", WAIT);
  await page.fill("#chat-input", text);
  await page.press("#chat-input", "Enter");
}

export const sees = (page, text) => page.waitForFunction(
  (wanted) => [...document.querySelectorAll(".chat .lines .text")].some((one) => one.textContent.startsWith(wanted)), text, WAIT);

/** Opens a message's menu and takes what is in it. */
export async function menu(page, message, action) {
  const line = page.locator(".chat .lines li", { hasText: message }).last();
  await line.locator(".menu summary").click();
  await line.locator(".menu-items button", { hasText: action }).first().click();
}

/** Sound comes in and goes out, as every connection of the page counts it. */
export const hears = (page) => page.waitForFunction(async () => {
  for (const connection of window.calls ?? []) {
    const stats = [...(await connection.getStats()).values()];
    const sound = (type, field) => stats.some((one) => one.type === type && one.kind === "audio" && one[field] > 20);
    if (sound("inbound-rtp", "packetsReceived") && sound("outbound-rtp", "packetsSent")) return true;
  }
  return false;
}, null, WAIT);

export async function harmless(page) {
  const ran = await page.evaluate(() => window.ran);
  if (ran !== undefined) throw new Error("text ran as code");
}

/** One REST call from outside the browser; gives the JSON. */
export async function rest(base, method, path, body, token) {
  const headers = { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const reply = await fetch(base + path, { method, headers, body: JSON.stringify(body) });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Closes the browser, tells the problems to the test around this one and ends. */
export async function finish(browser) {
  await browser.close();
  const problems = [...browser.problems, ...browser.expected.map(({ words }) => `never came: ${words}`)];
  console.log(JSON.stringify({ problems }, null, 1));
  process.exit(problems.length === 0 ? 0 : 1);
}
