// The whole walk, from an account to the end of its stream, in two windows: the streamer's and a
// viewer's. What is typed in tries to run as code. It does not know how the pages are made.
//
//   node walk.mjs BASE_URL CLIP SCREENSHOTS
//
// It writes KILL when the server is to be killed and RESTART when it is to be started again on the
// same ports, and waits for a line each time.

import { spawn } from "node:child_process";
import { Browser } from "./browser.mjs";

const [base, clip, screenshots] = process.argv.slice(2);
/** In every field that takes text. */
const HOSTILE = `<img src=x onerror="window.ran=1"><script>window.ran=1</script>`;
const PASSWORD = "correct horse battery";
const WAIT = { timeout: 30_000 };

const browser = await Browser.launch(screenshots);
const streamer = await browser.window("streamer", base);
const viewer = await browser.window("viewer", base);
let encoder;
let uid;

const began = Date.now();
async function step(name, act) {
  console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${name}`);
  try {
    await act();
  } catch (error) {
    for (const [who, page] of [["streamer", streamer], ["viewer", viewer]]) {
      await page.screenshot({ path: `${screenshots}/failed-${who}.png` }).catch(() => {});
    }
    throw new Error(`${name}: ${error.message}`, { cause: error });
  }
}

const state = (page, wanted) => page.waitForSelector(`#status[data-state="${wanted}"], .facts .status[data-state="${wanted}"]`, WAIT);
const frames = (page) => page.evaluate(() => {
  const video = document.querySelector("video");
  return { time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames };
});

/** Pictures keep coming and the position goes on. */
async function plays(page, seconds = 2) {
  const before = await frames(page).catch(() => ({ time: 0, frames: 0 }));
  await page.waitForFunction(({ time, frames: count, seconds: more }) => {
    const video = document.querySelector("video");
    return video && !video.paused && video.currentTime !== time && video.readyState >= 2
      && video.getVideoPlaybackQuality().totalVideoFrames > count + more * 10;
  }, { ...before, seconds }, { timeout: 60_000 });
}

async function signUp(page, name) {
  await page.fill("#account-username", name);
  await page.fill("#account-email", `${name}@example.com`);
  await page.fill("#account-password", PASSWORD);
  await page.click("dialog form button:not([type=button])");
  await page.waitForSelector(`#account .who:has-text("${name}")`, WAIT);
}

function publish(server, key) {
  encoder = spawn("ffmpeg", ["-nostdin", "-v", "warning", "-re", "-stream_loop", "-1", "-i", clip,
    "-c", "copy", "-f", "flv", `${server.replace(/\/$/, "")}/${key}`], { stdio: ["ignore", "inherit", "inherit"] });
}

async function say(page, text) {
  await page.waitForSelector(".chat .say button:has-text('Send'):enabled", WAIT);
  await page.fill("#chat-input", text);
  await page.press("#chat-input", "Enter");
}

const sees = (page, text) => page.waitForFunction(
  (wanted) => [...document.querySelectorAll(".chat .lines .text")].some((one) => one.textContent === wanted), text, WAIT);

/** Opens a message's menu and takes what is in it. */
async function menu(page, message, action) {
  const line = page.locator(".chat .lines li", { hasText: message }).last();
  await line.locator(".menu summary").click();
  await line.locator(".menu-items button", { hasText: action }).first().click();
}

/** The next line that the test around this one writes. */
const answer = () => new Promise((done) => process.stdin.once("data", done));

/** Sound comes in and goes out, as every connection of the page counts it. */
const hears = (page) => page.waitForFunction(async () => {
  for (const connection of window.calls ?? []) {
    const stats = [...(await connection.getStats()).values()];
    const sound = (type, field) => stats.some((one) => one.type === type && one.kind === "audio" && one[field] > 20);
    if (sound("inbound-rtp", "packetsReceived") && sound("outbound-rtp", "packetsSent")) return true;
  }
  return false;
}, null, WAIT);

async function harmless(page) {
  const ran = await page.evaluate(() => window.ran);
  if (ran !== undefined) throw new Error("text ran as code");
}

try {
  await step("an account, without leaving the studio", async () => {
    await streamer.goto(`${base}/studio`);
    await browser.axe(streamer, "studio logged out");
    await streamer.click("main button:has-text('Create an account')");
    await browser.look(streamer, "account");
    await browser.axe(streamer, "account");
    await signUp(streamer, "ana");
  });

  await step("a scheduled stream, and its countdown", async () => {
    await streamer.fill("#new-title", "Tomorrow");
    await streamer.check("#new-later");
    await streamer.fill("#new-time", new Date(Date.now() + 86_400_000).toISOString().slice(0, 16));
    await streamer.click("form button:has-text('Create')");
    await state(streamer, "scheduled");
    await viewer.goto(`${base}/watch/${streamer.url().split("#")[1]}`);
    await state(viewer, "scheduled");
    await viewer.waitForSelector(".countdown:not(:empty)", WAIT);
    await browser.look(viewer, "watch-scheduled");
  });

  await step("a stream whose title is hostile", async () => {
    await streamer.click("text=All streams");
    await streamer.fill("#new-title", HOSTILE);
    await streamer.fill("#new-description", HOSTILE);
    await browser.look(streamer, "studio");
    await browser.axe(streamer, "studio");
    await streamer.click("form button:has-text('Create')");
    await state(streamer, "offline");
    uid = streamer.url().split("#")[1];
    await streamer.waitForFunction((title) => document.querySelector("h1").textContent === title, HOSTILE, WAIT);
  });

  await step("a viewer waits", async () => {
    await viewer.goto(`${base}/watch/${uid}`);
    await state(viewer, "offline");
    await browser.look(viewer, "watch-offline");
    await browser.axe(viewer, "watch offline");
  });

  await step("the key is hidden, revealed, and works", async () => {
    await browser.axe(streamer, "desk");
    if (await streamer.getAttribute("#stream-key", "type") !== "password") throw new Error("the key is in sight");
    await streamer.click(".field:has(#stream-key) button:has-text('Reveal')");
    const key = await streamer.inputValue("#stream-key");
    await streamer.click(".field:has(#stream-key) button:has-text('Copy')");
    const copied = await streamer.evaluate(() => navigator.clipboard.readText());
    if (copied !== key) throw new Error(`copied ${copied}`);
    await streamer.click(".field:has(#stream-key) button:has-text('Hide')");
    publish(await streamer.inputValue("#rtmp-server"), key);
  });

  await step("the viewer sees it by itself", async () => {
    await state(viewer, "live");
    await plays(viewer);
    await plays(streamer);
    await viewer.waitForFunction(() => /\d/.test(document.querySelector(".time").textContent), null, WAIT);
    await browser.look(viewer, "watch-live");
    await browser.axe(viewer, "watch live");
    await browser.look(streamer, "studio-live");
    await browser.axe(streamer, "desk live");
  });

  await step("the viewer makes an account on the watch page", async () => {
    await viewer.click("text=Log in to chat");
    await viewer.click("dialog button:has-text('Create an account')");
    await signUp(viewer, "bob");
    await viewer.waitForSelector("#chat-input", WAIT);
  });

  await step("chat both ways, and it never runs", async () => {
    await say(viewer, HOSTILE);
    await sees(streamer, HOSTILE);
    await say(streamer, "welcome");
    await sees(viewer, "welcome");
    await harmless(viewer);
    await harmless(streamer);
    const twice = await viewer.locator(".chat .lines li", { hasText: "window.ran" }).count();
    if (twice !== 1) throw new Error(`the own message is there ${twice} times`);
  });

  await step("a reply, a pinned message, a deleted one", async () => {
    await menu(viewer, "welcome", "Reply");
    await say(viewer, "thank you");
    await streamer.waitForSelector(".chat li .quote", WAIT);
    await menu(streamer, "thank you", "Pin");
    await viewer.waitForSelector(".chat .pinned:has-text('thank you')", WAIT);
    await menu(streamer, "window.ran", "Delete");
    await viewer.waitForSelector(".chat li:has-text('Message deleted')", WAIT);
    await browser.look(viewer, "chat");
    await browser.look(streamer, "studio-chat");
    await browser.axe(viewer, "chat");
    await browser.axe(streamer, "studio chat");
  });

  await step("slow mode counts down, and keeps what was refused", async () => {
    await streamer.click(".tools summary");
    await streamer.selectOption("#chat-slow", "10");
    await viewer.waitForSelector(".settings:has-text('Slow mode')", WAIT);
    await say(viewer, "once");
    await sees(streamer, "once");
    await viewer.waitForSelector(".chat button:has-text('Wait')", WAIT);
    await streamer.selectOption("#chat-slow", "0");
    await streamer.click(".tools summary");
    await viewer.fill("#chat-input", "x".repeat(501));
    await viewer.waitForSelector(".chat .say button:has-text('Send'):enabled", WAIT);
    await viewer.press("#chat-input", "Enter");
    await viewer.waitForSelector("#chat-problem:not(:empty)", WAIT);
    if ((await viewer.inputValue("#chat-input")).length !== 501) throw new Error("the refused text is lost");
    await viewer.fill("#chat-input", "");
  });

  await step("a question is asked, voted, put on screen and answered", async () => {
    for (const page of [streamer, viewer]) await page.click("#tab-questions");
    await viewer.fill("#question-input", HOSTILE);
    await viewer.check("#question-anonymous");
    await viewer.click("#panel-questions button:has-text('Ask')");
    await streamer.waitForSelector(".question", WAIT);
    await streamer.click(".question .vote");
    await viewer.waitForFunction(() => document.querySelector(".question .vote span")?.textContent === "1", null, WAIT);
    await viewer.waitForSelector(".question:has-text('Anonymous')", WAIT);
    await streamer.click(".question button:has-text('Put on screen')");
    await viewer.waitForSelector("#panel-questions .pinned:has-text('On screen now')", WAIT);
    await browser.look(viewer, "questions");
    await browser.look(streamer, "studio-questions");
    await browser.axe(viewer, "questions");
    await browser.axe(streamer, "studio questions");
    await streamer.click(".question summary:has-text('Answer in writing')");
    await streamer.fill(".question [data-act=answer]", HOSTILE);
    await streamer.press(".question [data-act=answer]", "Enter");
    await viewer.click("#panel-questions button:has-text('Answered')");
    await viewer.waitForSelector(".question .quote", WAIT);
    await harmless(viewer);
    await harmless(streamer);
  });

  await step("a call: hand, queue, on air, sound both ways, hang up", async () => {
    for (const page of [streamer, viewer]) await page.click("#tab-voice");
    await viewer.click("button:has-text('Raise hand')");
    await viewer.waitForSelector("text=Your hand is up", WAIT);
    await viewer.waitForFunction(() => document.querySelector("#panel-voice .meter").value > 0.01, null, WAIT);
    await browser.look(viewer, "voice-test");
    await streamer.click("#panel-voice button:has-text('Invite')");
    await viewer.click("button:has-text('Go on air')");
    for (const page of [streamer, viewer]) await hears(page);
    await viewer.waitForSelector("text=You are on air", WAIT);
    await browser.look(viewer, "voice");
    await browser.look(streamer, "studio-voice");
    await browser.axe(viewer, "voice");
    await browser.axe(streamer, "studio voice");
    const onAir = await streamer.context().newPage();
    await onAir.goto(`${base}/studio/${uid}/voice`);
    await onAir.waitForFunction(() => document.querySelector(".speakers meter")?.value > 0.01, null, WAIT).catch(async (error) => {
      const seen = await onAir.evaluate(() => [document.body.innerText, document.querySelector(".speakers meter")?.value]);
      throw new Error(`the voice page is silent: ${JSON.stringify(seen)} ${error.message}`);
    });
    await onAir.screenshot({ path: `${screenshots}/voice-page.png` });
    await browser.axe(onAir, "voice page");
    await onAir.close();
    await viewer.click("#panel-voice button:has-text('Hang up')");
    await streamer.waitForSelector("#panel-voice .speakers:has-text('Nobody')", WAIT);
    for (const page of [streamer, viewer]) await page.click("#tab-chat");
  });

  await step("the language is switched", async () => {
    await viewer.click("#language");
    await viewer.waitForSelector("#status:has-text('En vivo')", WAIT);
    await viewer.screenshot({ path: `${screenshots}/watch-live-spanish.png` });
    await viewer.click("#language");
  });

  await step("the home page lists it", async () => {
    const page = await browser.window("home", base);
    await page.goto(base);
    await page.waitForSelector(`#live a[href="/watch/${uid}"]`, WAIT);
    await page.waitForSelector("#scheduled a", WAIT);
    await browser.look(page, "home");
    await browser.axe(page, "home");
    await harmless(page);
    await page.context().close();
  });

  await step("pause and resume while it plays", async () => {
    await streamer.click("button:has-text('Pause'):not(.tool)");
    await state(viewer, "paused");
    await plays(viewer, 3);
    await browser.look(viewer, "watch-paused");
    await streamer.click("button:has-text('Resume')");
    await state(viewer, "live");
    await plays(viewer, 3);
  });

  await step("the server is killed and started again", async () => {
    browser.away = true;
    console.log("KILL");
    await answer();
    await viewer.waitForSelector(".lost:visible", WAIT);
    await viewer.waitForFunction(() => document.querySelector("video").readyState < 3, null, WAIT);
    await browser.look(viewer, "watch-server-away");
    console.log("RESTART");
    await answer();
    encoder.kill("SIGKILL");
    publish(await streamer.inputValue("#rtmp-server"), await streamer.inputValue("#stream-key"));
    await plays(viewer, 4);
    await state(viewer, "live");
    await viewer.waitForSelector("#room[data-connection=open]", WAIT);
    browser.away = false;
    await say(viewer, "still here");
    await sees(streamer, "still here");
  });

  await step("the player alone, in a frame of another site", async () => {
    const page = await browser.window("embed", base);
    const other = base.replace("127.0.0.1", "localhost");
    await page.goto(`${other}/healthz`);
    await page.goto(`${base}/embed/${uid}?autoplay=1&muted=1&lang=es`);
    await plays(page);
    await browser.look(page, "embed");
    await browser.axe(page, "embed");
    await page.context().close();
  });

  await step("stop, with a question first", async () => {
    await streamer.click("button:has-text('Stop')");
    await browser.look(streamer, "studio-stop");
    await streamer.click("dialog button:has-text('Stop')");
    await state(streamer, "ended");
    await state(viewer, "ended");
    await browser.look(viewer, "watch-ended");
    await browser.axe(viewer, "watch ended");
  });

  await step("a moderator is named and removed; the recording is played and deleted", async () => {
    await streamer.click("text=All streams");
    await streamer.fill("#new-moderator", "bob");
    await streamer.click("button:has-text('Add')");
    await streamer.waitForSelector("li:has-text('bob') button:has-text('Remove')", WAIT);
    await streamer.waitForSelector("li:has-text('window.ran') a:has-text('Download')", WAIT);
    await browser.look(streamer, "studio-recordings");
    await browser.axe(streamer, "studio recordings");
    const late = await browser.window("late", base);
    await late.goto(`${base}/watch/${uid}`);
    await plays(late);
    await late.waitForSelector(".seek:visible", WAIT);
    await browser.look(late, "watch-recording");
    await browser.axe(late, "recording");
    await late.context().close();
    await streamer.click("li:has-text('bob') button:has-text('Remove')");
    await streamer.waitForSelector("li:has-text('bob')", { ...WAIT, state: "detached" });
    await streamer.click("li:has-text('window.ran') button:has-text('Delete')");
    await streamer.click("dialog button:has-text('Delete')");
    await streamer.waitForSelector("li:has-text('window.ran') button", { ...WAIT, state: "detached" });
  });

  await harmless(viewer);
  await harmless(streamer);
} catch (error) {
  browser.problems.push(error.message);
} finally {
  encoder?.kill("SIGKILL");
  await browser.close();
}
console.log(JSON.stringify({ problems: browser.problems }, null, 1));
process.exit(browser.problems.length === 0 ? 0 : 1);
