// Opens what `cauce demo` says to open, as somebody who knows nothing else: a moving picture, sound, a
// chat and a question with votes are there. It does not know who talks.
//
//   node demo.mjs URL, with SCREENSHOTS naming a folder

import { Browser } from "./browser.mjs";
import { finish, firstPicture_ms, plays, steps, WAIT } from "./acts.mjs";

const [url] = process.argv.slice(2);
const screenshots = process.env.SCREENSHOTS;
const browser = await Browser.launch(screenshots);
const page = await browser.window("guest", url);
const step = steps({ guest: page }, screenshots);

try {
  await step("a moving picture", async () => {
    await page.goto(url);
    console.log(`the demo's first picture after ${await firstPicture_ms(page)} ms`);
    await plays(page, 3);
  });

  await step("sound", async () => {
    const loudest = await page.evaluate(async () => {
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      const source = context.createMediaStreamSource(document.querySelector("video").captureStream());
      source.connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      let loudest = 0;
      for (let look = 0; look < 100 && loudest < 0.01; look += 1) {
        await new Promise((done) => setTimeout(done, 50));
        analyser.getFloatTimeDomainData(samples);
        loudest = Math.max(loudest, ...samples);
      }
      return loudest;
    });
    if (loudest < 0.01) throw new Error(`silence: ${loudest}`);
  });

  await step("a chat of several people", async () => {
    await page.waitForFunction(() => document.querySelectorAll(".chat .lines li").length >= 5, null, WAIT);
    const people = await page.evaluate(() => new Set([...document.querySelectorAll(".chat .user")].map((one) => one.textContent)).size);
    if (people < 3) throw new Error(`${people} people`);
    await browser.look(page, "demo");
  });

  await step("a question with votes", async () => {
    await page.click("#tab-questions");
    await page.waitForFunction(() => Number(document.querySelector(".question .vote span")?.textContent) >= 2, null, WAIT);
    await browser.look(page, "demo-questions");
    await browser.axe(page, "demo");
  });
} catch (error) {
  browser.problems.push(error.message);
}
await finish(browser);
