// The whole walk, from an account to the end of its stream, in two windows: the streamer's and a
// viewer's. What is typed in tries to run as code. It does not know how the pages are made.
//
//   node walk.mjs BASE_URL CLIP, with SCREENSHOTS naming a folder
//
// It writes KILL when the server is to be killed and RESTART when it is to be started again on the
// same ports, and waits for a line each time.

import { Browser } from "./browser.mjs";
import { answer, finish, harmless, hears, HOSTILE, menu, PASSWORD, plays, publish, ringed, say, sees, signUp, state, steps, WAIT, whole } from "./acts.mjs";

const [base, clip] = process.argv.slice(2);
const screenshots = process.env.SCREENSHOTS;

const browser = await Browser.launch(screenshots);
const streamer = await browser.window("streamer", base);
const viewer = await browser.window("viewer", base);
const step = steps({ streamer, viewer }, screenshots);
let encoder;
let uid;
/** Frames that told the viewer why the picture stands still. */
const reasons = [];
viewer.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => {
  const { type, data } = JSON.parse(payload);
  if (type === "status" && data.reason) reasons.push(data.reason);
}));

/** Publishes to where the studio says. */
const start = async (clipOrArguments) => publish(clipOrArguments, await streamer.inputValue("#rtmp-server"), await streamer.inputValue("#stream-key"));

/** The studio's traffic light: its colour, or any, and its words. */
const light = (page, colour, words) => page.waitForSelector(`.health .light${colour ? `[data-light=${colour}]` : ""}:has-text("${words}")`, { timeout: 60_000 });

/** The questions that a page lists, in this order. */
const shows = (page, ...wanted) => page.waitForFunction(
  (texts) => JSON.stringify([...document.querySelectorAll(".question .text")].map((one) => one.textContent)) === JSON.stringify(texts), wanted, WAIT);

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
    await browser.axe(viewer, "watch scheduled");
  });

  await step("the scheduled stream is renamed and moved", async () => {
    await streamer.click(".edit summary");
    await streamer.fill("#edit-title", "The day after");
    await streamer.fill("#edit-description", HOSTILE);
    await streamer.fill("#edit-time", new Date(Date.now() + 172_800_000).toISOString().slice(0, 16));
    await browser.look(streamer, "studio-edit");
    await browser.axe(streamer, "studio edit");
    await streamer.click(".edit button:has-text('Save')");
    await streamer.waitForSelector("h1:has-text('The day after')", WAIT);
    await streamer.waitForSelector(".edit:not([open])", WAIT);
    await viewer.reload();
    await viewer.waitForSelector("h1:has-text('The day after')", WAIT);
    await viewer.waitForFunction((text) => document.querySelector("#description").textContent === text, HOSTILE, WAIT);
    await viewer.waitForSelector(".countdown:has-text('1 d')", WAIT);
    await harmless(viewer);
  });

  await step("a viewer makes an account to be reminded of it, and subscribes", async () => {
    await viewer.click("#reminder button");
    await viewer.click("dialog button:has-text('Create an account')");
    await signUp(viewer, "bob");
    await viewer.click("#reminder button:has-text('Remind me')");
    await viewer.waitForSelector("#reminder button[aria-pressed=true]", WAIT);
    await browser.look(viewer, "watch-scheduled");
    await viewer.click("#reminder button:has-text('Do not')");
    await viewer.waitForSelector("#reminder button[aria-pressed=false]", WAIT);
    await viewer.click("#subscribe button");
    await viewer.waitForSelector("#subscribe button[aria-pressed=true]", WAIT);
    await viewer.waitForSelector("#subscribe:has-text('Subscribers: 1')", WAIT);
    await viewer.click("#account button:has-text('Log out')");
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
    await streamer.click(".field:has(#stream-key) button:has-text('New key')");
    await streamer.click("dialog button:has-text('New key')");
    await streamer.waitForFunction((old) => document.querySelector("#stream-key").value !== old, key, WAIT);
    encoder = await start(clip);
  });

  await step("the viewer sees it by itself", async () => {
    await state(viewer, "live");
    await plays(viewer);
    await plays(streamer);
    await viewer.waitForFunction(() => /\d/.test(document.querySelector(".time").textContent), null, WAIT);
    await streamer.waitForSelector(".facts:has-text('People now: 2, at most: 2'):has-text('on for')", WAIT);
    await streamer.waitForFunction(() => document.querySelectorAll(".health .graph path.line[d*=L]").length === 4, null, WAIT);
    await streamer.waitForSelector(".health:has-text('Dropped frames')", WAIT);
    await light(streamer, "good", "Everything is well");
    await streamer.waitForSelector(".health:has-text('640×360')", WAIT);
    await browser.look(viewer, "watch-live");
    await browser.axe(viewer, "watch live");
    await browser.look(streamer, "studio-live");
    await browser.axe(streamer, "desk live");
  });

  await step("the viewer logs in on the watch page", async () => {
    await viewer.click("text=Log in to chat");
    await viewer.fill("#account-username", "bob");
    await viewer.fill("#account-password", PASSWORD);
    await viewer.press("#account-password", "Enter");
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

  await step("the own message is changed, by nobody else", async () => {
    await menu(viewer, "thank you", "Edit");
    if (await viewer.inputValue("#chat-input") !== "thank you") throw new Error("the box is empty");
    await browser.look(viewer, "chat-edit");
    await viewer.fill("#chat-input", `${HOSTILE} edited`);
    await viewer.press("#chat-input", "Enter");
    for (const page of [viewer, streamer]) {
      await sees(page, `${HOSTILE} edited`);
      await page.waitForSelector(".chat .pinned:has-text('edited')", WAIT);
      await harmless(page);
    }
    if (await viewer.inputValue("#chat-input") !== "") throw new Error("the change is still in the box");
    await viewer.locator(".chat .lines li", { hasText: "welcome" }).first().locator(".menu summary").click();
    if (await viewer.locator(".menu[open] button:has-text('Edit')").count()) throw new Error("another's message can be changed");
    await viewer.keyboard.press("Escape");
  });

  await step("banned, and let in again", async () => {
    await menu(streamer, "edited", "Ban");
    await streamer.click("dialog button:has-text('Ban')");
    await viewer.waitForSelector(".lost:has-text('You were banned')", WAIT);
    await browser.look(viewer, "watch-banned");
    await viewer.reload();
    await say(viewer, "am I heard?");
    await viewer.waitForSelector("#chat-problem:has-text('banned')", WAIT);
    if (await viewer.inputValue("#chat-input") !== "am I heard?") throw new Error("the refused text is lost");
    await streamer.click(".tools summary");
    await streamer.fill("#chat-unban", HOSTILE);
    await streamer.press("#chat-unban", "Enter");
    await streamer.waitForSelector("#chat-problem:not(.good):not(:empty)", WAIT);
    await streamer.fill("#chat-unban", "bob");
    await streamer.press("#chat-unban", "Enter");
    await streamer.waitForSelector("#chat-problem.good:has-text('bob may write')", WAIT);
    await browser.look(streamer, "studio-moderation");
    await streamer.click(".tools summary");
    await viewer.press("#chat-input", "Enter");
    await sees(streamer, "am I heard?");
    await harmless(streamer);
  });

  await step("silenced, and only subscribers", async () => {
    await menu(streamer, "am I heard?", "Silence");
    await streamer.waitForSelector("#chat-problem.good:has-text('bob is silenced')", WAIT);
    await say(viewer, "and now?");
    await viewer.waitForSelector("#chat-problem:has-text('silenced')", WAIT);
    await streamer.click(".tools summary");
    await streamer.fill("#chat-unban", "bob");
    await streamer.press("#chat-unban", "Enter");
    await streamer.waitForSelector("#chat-problem.good:has-text('bob may write')", WAIT);
    await streamer.check("#chat-subscribers");
    await viewer.waitForSelector(".settings:has-text('Only subscribers')", WAIT);
    await viewer.press("#chat-input", "Enter");
    await sees(streamer, "and now?");
    await viewer.click("#subscribe button");
    await viewer.waitForSelector("#subscribe button[aria-pressed=false]", WAIT);
    await say(viewer, "from outside");
    await viewer.waitForSelector("#chat-problem:not(:empty)", WAIT);
    await viewer.click("#subscribe button");
    await viewer.waitForSelector("#subscribe button[aria-pressed=true]", WAIT);
    await viewer.press("#chat-input", "Enter");
    await sees(streamer, "from outside");
    await streamer.uncheck("#chat-subscribers");
    // Who reads the newest goes on doing so in a smaller window.
    const size = viewer.viewportSize();
    await viewer.setViewportSize({ ...size, height: 450 });
    await viewer.waitForFunction(() => {
      const { scrollHeight, scrollTop, clientHeight } = document.querySelector(".chat .lines");
      return scrollHeight > clientHeight && scrollHeight - scrollTop - clientHeight < 2;
    }, null, WAIT);
    await viewer.setViewportSize(size);
    // Who said it may take it back.
    await menu(viewer, "from outside", "Delete");
    await streamer.waitForFunction(() => ![...document.querySelectorAll(".chat .text")].some((one) => one.textContent === "from outside"), null, WAIT);
    await streamer.click(".tools summary");
  });

  await step("slow mode counts down, and keeps what was refused", async () => {
    await streamer.click(".tools summary");
    await streamer.selectOption("#chat-slow", "10");
    await viewer.waitForSelector(".settings:has-text('Slow mode')", WAIT);
    await say(viewer, "once");
    await sees(streamer, "once");
    const wait = (below) => viewer.waitForFunction((most) => {
      const [, left] = /^Wait (\d+) s$/.exec(document.querySelector(".chat .say > button:not([type])").textContent) ?? [];
      return left && Number(left) < most && Number(left);
    }, below, WAIT);
    await wait(await (await wait(11)).jsonValue());
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
    await streamer.fill("#question-input", "And now?");
    await streamer.click("#panel-questions button:has-text('Ask')");
    await shows(viewer, HOSTILE, "And now?");
    await viewer.click("#panel-questions button:text-is('New')");
    await shows(viewer, "And now?", HOSTILE);
    await viewer.click("#panel-questions button:text-is('Answered')");
    await shows(viewer);
    await viewer.click("#panel-questions button:text-is('Top')");
    const [first, second] = [".question:has-text('window.ran')", ".question:has-text('And now?')"];
    await streamer.click(`${second} button:text-is('Pin')`);
    await viewer.waitForSelector("#panel-questions .pinned:has-text('Pinned'):has-text('And now?')", WAIT);
    // What is pinned stands first, however many votes another one has.
    await shows(viewer, "And now?", HOSTILE);
    await streamer.click(`${first} button:has-text('Put on screen')`);
    await viewer.waitForSelector("#panel-questions .pinned:has-text('On screen now'):has-text('window.ran')", WAIT);
    await browser.look(viewer, "questions");
    await browser.look(streamer, "studio-questions");
    await browser.axe(viewer, "questions");
    await browser.axe(streamer, "studio questions");
    await streamer.click(`${first} summary:has-text('Answer in writing')`);
    await streamer.fill(`${first} [data-act=answer]`, HOSTILE);
    await streamer.press(`${first} [data-act=answer]`, "Enter");
    await viewer.click("#panel-questions button:has-text('Answered')");
    await viewer.waitForSelector(".question .quote", WAIT);
    // And one that the moment of the stream answers.
    await streamer.click(`${second} button:has-text('Put on screen')`);
    await streamer.click(`${second} button:has-text('Answered')`);
    await viewer.waitForSelector(".question:has-text('And now?'):has-text('Answered at')", WAIT);
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
    await streamer.click("#panel-voice .speakers button:has-text('Mute')");
    await viewer.click("#panel-voice button:has-text('Unmute my microphone')");
    await streamer.waitForSelector("#panel-voice .speakers button:text-is('Mute')", WAIT);
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

  await step("hostile addresses", async () => {
    const page = await browser.window("stray", base);
    const text = encodeURIComponent(HOSTILE);
    for (const address of [`/?channel=${text}&lang=${text}`, `/studio?lang=${text}#${text}`, `/watch/${uid}?lang=${text}#${text}`]) {
      await page.goto(base + address);
      await page.waitForSelector("#account button", WAIT);
      await harmless(page);
    }
    browser.expect("status of 4");
    await page.goto(base);
    await page.fill("#uid", HOSTILE);
    await page.evaluate(() => { document.querySelector("#watch").noValidate = true; });
    await page.click("#watch button");
    await page.waitForURL(/\/watch\//, WAIT);
    await harmless(page);
    await page.context().close();
  });

  await step("back in the window, and to live again", async () => {
    await viewer.waitForSelector(".seek:visible", { timeout: 60_000 });
    await viewer.focus("#video");
    for (const press of [1, 2, 3]) await viewer.keyboard.press("ArrowLeft", { delay: press });
    await viewer.waitForSelector(".golive.behind:has-text('Back to live')", WAIT);
    await plays(viewer);
    await browser.look(viewer, "watch-behind");
    await viewer.click(".golive");
    await viewer.waitForSelector(".golive:not(.behind)", WAIT);
    await plays(viewer);
    // The bar reaches over the whole window, from its first second.
    const wanted = await viewer.evaluate(() => {
      const seek = document.querySelector(".seek");
      seek.value = Number(seek.min) + 4;
      for (const event of ["input", "change"]) seek.dispatchEvent(new Event(event));
      return Number(seek.value);
    });
    await viewer.waitForFunction((from) => Math.abs(document.querySelector("video").currentTime - from) < 5, wanted, WAIT);
    await viewer.waitForSelector(".golive.behind", WAIT);
    await plays(viewer);
    await viewer.focus("#video");
    await viewer.keyboard.press("l");
    await viewer.waitForSelector(".golive:not(.behind)", WAIT);
  });

  await step("the player by keyboard: pause, sound, full screen, tabs", async () => {
    const video = (check) => viewer.waitForFunction(check, null, WAIT);
    await viewer.focus("#video");
    await viewer.keyboard.press("k");
    await video(() => document.querySelector("video").paused);
    await viewer.keyboard.press("k");
    await video(() => !document.querySelector("video").paused);
    await viewer.keyboard.press("m");
    await video(() => document.querySelector("video").muted);
    await viewer.click(".unmute");
    await video(() => !document.querySelector("video").muted);
    await viewer.fill(".volume", "0.5");
    await video(() => document.querySelector("video").volume === 0.5);
    await viewer.focus("#video");
    await viewer.keyboard.press("f");
    await video(() => document.fullscreenElement?.id === "player");
    await viewer.keyboard.press("f");
    await video(() => !document.fullscreenElement);
    await viewer.focus("#tab-chat");
    await viewer.keyboard.press("ArrowRight");
    await viewer.waitForSelector("#tab-questions[aria-selected=true]:focus", WAIT);
    await viewer.keyboard.press("Home");
    await viewer.waitForSelector("#tab-chat[aria-selected=true]:focus", WAIT);
    await viewer.keyboard.press("End");
    await viewer.waitForSelector("#tab-voice[aria-selected=true]:focus", WAIT);
    await viewer.keyboard.press("ArrowRight");
    await viewer.waitForSelector("#tab-chat[aria-selected=true]:focus", WAIT);
  });

  await step("rings, announcements and stillness", async () => {
    for (const page of [viewer, streamer]) await ringed(page);
    const log = await viewer.locator("#panel-chat [role=log]").getAttribute("aria-live");
    if (log !== "polite") throw new Error(`the chat's aria-live is ${log}`);
    const moving = () => viewer.evaluate(() => document.getAnimations().length);
    if (await moving() === 0) throw new Error("nothing moves: there is nothing to still");
    await viewer.emulateMedia({ reducedMotion: "reduce" });
    if (await moving() > 0) throw new Error("it moves for who asked for stillness");
    await viewer.emulateMedia({ reducedMotion: "no-preference" });
  });

  await step("the desk on a phone: what happens now first, and a way to each part", async () => {
    const size = streamer.viewportSize();
    await streamer.setViewportSize({ width: 390, height: 844 });
    const tops = await streamer.evaluate(() => {
      // Whatever was looked at before: the bar of jumps stays in sight, and would be above or below its place.
      scrollTo({ top: 0, behavior: "instant" });
      return [".jumps", ".desk .player", "#room", "#health", ".edit"].map((one) => document.querySelector(one).getBoundingClientRect().top);
    });
    if (tops.some((top, n) => n && top <= tops[n - 1])) throw new Error(`the order is ${tops}`);
    for (const [name, part] of [["Health", "#health"], ["Chat", "#room"], ["Encoder", ".connect[open]"]]) {
      await streamer.click(`.jumps button:has-text("${name}")`);
      await streamer.waitForFunction((one) => {
        const found = document.querySelector(one);
        const top = found?.getBoundingClientRect().top;
        const under = document.querySelector(".jumps").getBoundingClientRect().bottom;
        return found === document.activeElement && top >= under - 1 && top < innerHeight / 2;
      }, part, WAIT);
    }
    await streamer.click(".connect summary");
    await streamer.setViewportSize(size);
    if (await streamer.isVisible(".jumps")) throw new Error("there is no need for the bar on a desktop");
  });

  await step("pause and resume while it plays", async () => {
    await streamer.click("button:has-text('Pause'):not(.tool)");
    await state(viewer, "paused");
    await plays(viewer, 3);
    await browser.look(viewer, "watch-paused");
    await streamer.waitForSelector(".health .light:has-text('is not shown')", WAIT);
    await streamer.click("button:has-text('Resume')");
    await state(viewer, "live");
    await plays(viewer, 3);
    if (reasons.join() !== "paused") throw new Error(`told: ${reasons}`);
  });

  await step("the encoder alone is lost: the page says so, and the slate plays", async () => {
    encoder.kill("SIGKILL");
    await state(viewer, "reconnecting");
    await viewer.waitForSelector(".notice.small:has-text('Reconnecting')", WAIT);
    if (!reasons.includes("reconnecting")) throw new Error("no frame said so");
    await light(streamer, "error", "Nothing comes from the encoder");
    await plays(viewer, 3);
    await browser.look(viewer, "watch-reconnecting");
    await browser.look(streamer, "studio-reconnecting");
  });

  await step("another encoder comes, which has its faults: in words, with what to do", async () => {
    // No key frame for 10 s and more; 10 pictures a second, of which 2 are dropped.
    encoder = await start(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=10", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
      "-vf", "select='gt(mod(n,10),1)'", "-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
      "-g", "100", "-sc_threshold", "0", "-b:v", "600k", "-c:a", "aac", "-ac", "2", "-t", "600"]);
    await state(viewer, "live");
    await light(streamer, "error", "Something is wrong");
    const issue = (words) => streamer.waitForSelector(`.issues li${words.map((one) => `:has-text("${one}")`).join("")}`, WAIT);
    await issue(["pictures a second arrive.", "Lower the resolution"]);
    await issue(["Pictures are missing", "Lower the bit rate if the upload is too slow"]);
    await streamer.waitForFunction(() => [...document.querySelectorAll(".graph")].some((one) => /Dropped frames\s+[1-9]/.test(one.textContent)), null, WAIT);
    await issue(["The newest segment has no key frame", "Set the encoder's key frame interval to 2 seconds."]);
    await browser.look(streamer, "studio-issues");
    await browser.axe(streamer, "studio issues");
    await streamer.click("#language");
    await light(streamer, null, "Algo está mal");
    await issue(["imágenes por segundo.", "Baja la resolución"]);
    await issue(["Faltan imágenes", "Baja la tasa si la subida es lenta"]);
    await issue(["El último segmento no tiene fotograma clave", "Pon el intervalo de fotogramas clave"]);
    await streamer.screenshot({ path: `${screenshots}/studio-issues-spanish.png`, fullPage: true });
    await streamer.click("#language");
    encoder.kill("SIGKILL");
    await state(viewer, "reconnecting");
    encoder = await start(clip);
    await state(viewer, "live");
    await light(streamer, "good", "Everything is well");
    await streamer.waitForFunction(() => document.querySelectorAll(".issues li").length === 0, null, WAIT);
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
    encoder = await start(clip);
    await plays(viewer, 4);
    await state(viewer, "live");
    await viewer.waitForSelector("#room[data-connection=open]", WAIT);
    browser.away = false;
    await say(viewer, "still here");
    await sees(streamer, "still here");
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
    await streamer.waitForSelector("section:has-text('Subscribers') li:has-text('bob')", WAIT);
    browser.expect("status of 4");
    await streamer.fill("#new-moderator", HOSTILE);
    await streamer.click("button:has-text('Add')");
    await streamer.waitForSelector(".problem:not(:empty)", WAIT);
    await harmless(streamer);
    await streamer.fill("#new-moderator", "bob");
    await streamer.click("button:has-text('Add')");
    await streamer.waitForSelector("li:has-text('bob') button:has-text('Remove')", WAIT);
    const recording = streamer.locator("li:has-text('window.ran')");
    const file = await recording.locator("a:has-text('Download')").getAttribute("href", WAIT);
    if (file !== `${base}/live/${uid}/source/recording.ts`) throw new Error(`the recording is at ${file}`);
    await browser.look(streamer, "studio-recordings");
    await browser.axe(streamer, "studio recordings");
    const [download] = await Promise.all([streamer.waitForEvent("download", WAIT), recording.locator("a:has-text('Download')").click()]);
    if (download.suggestedFilename() !== `${uid}.ts`) throw new Error(`it is saved as ${download.suggestedFilename()}`);
    await download.saveAs(`${screenshots}/recording.ts`);
    const { bytes, seconds } = whole(`${screenshots}/recording.ts`);
    await recording.locator("a:has-text('Play')").click();
    await state(streamer, "ended");
    await plays(streamer);
    await streamer.waitForSelector(".seek:visible", WAIT);
    const shown_s = await streamer.evaluate(() => document.querySelector("video").duration);
    console.log(`the recording: ${bytes} bytes, ${seconds} s; played as ${shown_s} s`);
    if (Math.abs(shown_s - seconds) > 5) throw new Error(`${seconds} s in the file, ${shown_s} s on the page`);
    await browser.look(streamer, "watch-recording");
    await browser.axe(streamer, "recording");
    await streamer.goBack();
    await streamer.waitForSelector("li:has-text('bob') button:has-text('Remove')", WAIT);
    await streamer.click("li:has-text('bob') button:has-text('Remove')");
    await streamer.waitForSelector("li:has-text('bob'):has(button)", { ...WAIT, state: "detached" });
    await streamer.click("li:has-text('window.ran') button:has-text('Delete')");
    await streamer.click("dialog button:has-text('Delete')");
    await streamer.waitForSelector("li:has-text('window.ran') button", { ...WAIT, state: "detached" });
    const { status } = await fetch(file);
    if (status !== 404) throw new Error(`the deleted recording answers ${status}`);
  });

  await harmless(viewer);
  await harmless(streamer);
} catch (error) {
  browser.problems.push(error.message);
} finally {
  encoder?.kill("SIGKILL");
}
await finish(browser);
