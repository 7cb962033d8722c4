// Accounts where the server sends mail: created and activated without leaving the page, renewed while
// the page is used, the password forgotten and set anew. It does not know how letters arrive.
//
//   node login.mjs BASE_URL CLIP LIFE_S, with SCREENSHOTS naming a folder
//
// It writes CODE ADDRESS and LINK ADDRESS and waits each time for what the newest letter to that
// address contains. LIFE_S is how long the server's login tokens live.

import { readdirSync, readFileSync } from "node:fs";
import { Browser } from "./browser.mjs";
import { answer, fillAccount, finish, HOSTILE, harmless, loggedIn, PASSWORD, plays, publish, say, sees, state, steps, WAIT } from "./acts.mjs";

const [base, clip, life_s] = process.argv.slice(2);
const screenshots = process.env.SCREENSHOTS;
const ADDRESS = "carla@example.com";
const NEW_PASSWORD = "another horse, another battery";
const REFUSED = "status of 400";

const browser = await Browser.launch(screenshots);
const page = await browser.window("carla", base);
const step = steps({ carla: page }, screenshots);
let encoder;

const refused = (words) => page.waitForFunction((wanted) => document.querySelector("#account-problem")?.textContent.includes(wanted), words, WAIT);
const session = () => page.evaluate(() => JSON.parse(localStorage.getItem("cauce.session")));

/** What stands between quotes in Rust files, a 9 for what is put in. */
const literals = (...places) => places.flatMap((place) => {
  const url = new URL(place, import.meta.url);
  const files = place.endsWith(".rs") ? [url] : readdirSync(url).map((name) => new URL(`${url}/${name}`)).filter(({ pathname }) => !/tests?\.rs$/.test(pathname));
  return files.flatMap((file) => [...readFileSync(file, "utf8").matchAll(/"([^"\\]*)/g)].map(([, text]) => text.replace(/\{[^}]*\}/g, "9")));
});

try {
  await step("hostile text in every field of an account", async () => {
    await page.goto(`${base}/studio`);
    await page.click("main button:has-text('Log in')");
    browser.expect(REFUSED);
    await fillAccount(page, { username: HOSTILE, password: HOSTILE });
    await refused("or the password is wrong");
    await page.click("dialog button:has-text('Create an account')");
    for (const fields of [{ username: HOSTILE, email: ADDRESS }, { username: "carla", email: HOSTILE }]) {
      browser.expect(REFUSED);
      await fillAccount(page, { ...fields, password: PASSWORD });
      await refused(fields.username === HOSTILE ? "User name: " : "E-mail: ");
    }
    await harmless(page);
  });

  await step("what the server refuses is told in Spanish too, and follows a switch of the language", async () => {
    const spanish = await browser.window("spanish", base, { locale: "es-ES" });
    await spanish.goto(`${base}/studio`);
    await spanish.click("main button:has-text('Crear una cuenta')");
    const told = (words) => spanish.waitForFunction((wanted) => document.querySelector("#account-problem")?.textContent === wanted, words, WAIT).catch(async (error) => {
      throw new Error(`${await spanish.textContent("#account-problem")} instead of ${words}`, { cause: error });
    });
    browser.expect(REFUSED);
    await fillAccount(spanish, { username: "x", email: HOSTILE, password: "corta" });
    await told("Usuario: De 3 a 30 letras, cifras, \".\", \"_\" o \"-\", y empieza con letra o cifra.\nCorreo: No es una dirección de correo.\nContraseña: Es demasiado corta: al menos 8 caracteres.");
    await browser.look(spanish, "account-refused-spanish");
    await browser.axe(spanish, "account refused");
    await spanish.evaluate(() => document.querySelector("#language").click());
    await told("User name: 3 to 30 letters, digits, \".\", \"_\" or \"-\", beginning with a letter or digit.\nE-mail: That is no e-mail address.\nPassword: It is too short: at least 8 characters.");
    await spanish.evaluate(() => document.querySelector("#language").click());
    await spanish.click("dialog button:has-text('Entrar')");
    browser.expect(REFUSED);
    await fillAccount(spanish, { username: "nadie", password: PASSWORD });
    await told("El usuario o la contraseña no son correctos.");
    // No pattern waits for words that the server no longer says.
    const idle = await spanish.evaluate(async (texts) => {
      const { WORDS } = await import("/web/refusals.js");
      return WORDS.filter(([pattern]) => !texts.some((one) => pattern.test(one))).map(String);
    }, literals("../../src/api", "../../src/person.rs"));
    if (idle.length > 0) throw new Error(`nobody says ${idle}`);
    await spanish.context().close();
  });

  await step("an account is created, and the page asks for the code", async () => {
    // The page tries to log in first, which an account that waits cannot; that makes no second letter.
    browser.expect(REFUSED);
    await fillAccount(page, { username: "carla", email: ADDRESS, password: PASSWORD });
    await page.waitForSelector("#account-code", WAIT);
    if (await page.inputValue("#account-email") !== ADDRESS) throw new Error("the address is to be typed again");
    await browser.look(page, "account-code");
    await browser.axe(page, "activation");
  });

  await step("a wrong code is refused, the right one logs in", async () => {
    console.log(`CODE ${ADDRESS}`);
    const code = await answer();
    for (const wrong of [HOSTILE, code === "123456" ? "654321" : "123456"]) {
      browser.expect(REFUSED);
      await fillAccount(page, { code: wrong });
      await refused("Code of 6 digits: ");
      await page.evaluate(() => { document.querySelector("#account-problem").textContent = ""; });
    }
    await fillAccount(page, { code });
    await loggedIn(page, "carla");
    await page.waitForSelector("#new-title", WAIT);
    await harmless(page);
  });

  await step("the token is renewed while the page is used", async () => {
    const first = await session();
    await page.fill("#new-title", "Renewed");
    await page.click("form button:has-text('Create')");
    await state(page, "offline");
    encoder = publish(clip, await page.inputValue("#rtmp-server"), await page.inputValue("#stream-key"));
    await plays(page);
    await say(page, "at first");
    await sees(page, "at first");
    // Longer than any token lives: without a renewal there would be no login left.
    await page.waitForFunction(({ issued_at: first, life }) => {
      const now = JSON.parse(localStorage.getItem("cauce.session"));
      return now && now.issued_at > first + life;
    }, { ...first, life: Number(life_s) }, { timeout: 60_000 });
    if ((await session()).token === first.token) throw new Error("the token is the first one");
    await say(page, "and later");
    await sees(page, "and later");
    await page.click("button:has-text('Pause'):not(.tool)");
    await state(page, "paused");
    if (await page.locator("dialog[open]").count()) throw new Error("the page asked for a login");
    await loggedIn(page, "carla");
  });

  await step("the password is forgotten and set anew", async () => {
    await page.click("#account button:has-text('Log out')");
    await page.click("main button:has-text('Log in')");
    await page.click("dialog button:has-text('Forgot the password')");
    await fillAccount(page, { username: HOSTILE });
    await page.waitForSelector("dialog [role=status]:has-text('mailed')", WAIT);
    await page.click("dialog button:has-text('Forgot the password')");
    await fillAccount(page, { username: ADDRESS });
    await page.waitForSelector("dialog [role=status]:has-text('mailed')", WAIT);
    console.log(`LINK ${ADDRESS}`);
    const link = await answer();
    const other = await page.context().newPage();
    await other.goto(link);
    await other.fill("input[type=password]", NEW_PASSWORD);
    await other.screenshot({ path: `${screenshots}/reset.png` });
    await Promise.all([other.waitForResponse((reply) => reply.request().method() === "POST" && reply.ok()), other.click("button")]);
    await other.close();
    await fillAccount(page, { username: "carla", password: NEW_PASSWORD });
    await loggedIn(page, "carla");
  });
} catch (error) {
  browser.problems.push(error.message);
} finally {
  encoder?.kill("SIGKILL");
}
await finish(browser);
