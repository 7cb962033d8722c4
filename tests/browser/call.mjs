// Two people in headless Chromium hold a call over a stream's WebSocket: a viewer raises the hand, the
// owner lets it in, sound flows both ways, the viewer hangs up. It does not know how the server passes
// signals on. First it prints the stream that somebody must publish to.
//
//   node call.mjs http://HOST:PORT

import { chromium } from "playwright-core";

const site = process.argv[2];
const PACKETS = 50;

async function call(path, body, token) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(site + path, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

async function account(username) {
  const password = "a long enough passphrase 7";
  await call("/token/?create=true", { username, password, email: `${username}@example.org` });
  return (await call("/token/", { username, password })).data.token;
}

// Runs in the page: one end of the call, with perfect negotiation.
function join({ url, token, guest }) {
  const socket = new WebSocket(url);
  const send = (type, data) => socket.send(JSON.stringify({ type, data }));
  const end = { seen: [], errors: [], ended: null, call: null, packets: 0 };
  window.end = end;
  const peers = new Map();
  let microphone;
  let asked = false;

  async function connect({ call, peers: others, polite, ice_servers }) {
    end.call = call;
    microphone ??= await navigator.mediaDevices.getUserMedia({ audio: true });
    for (const { id } of others) {
      const peer = { call, id, polite, ice_servers, ignoring: false, early: [] };
      peers.set(id, peer);
      open(peer);
    }
  }

  function open(peer) {
    const { call, id } = peer;
    const connection = new RTCPeerConnection({ iceServers: peer.ice_servers });
    Object.assign(peer, { connection, offering: false });
    const current = () => connection === peer.connection;
    connection.onnegotiationneeded = async () => {
      if (!current()) return;
      peer.offering = true;
      await connection.setLocalDescription();
      if (!current()) return;
      send("voice_signal", { call, to: id, description: connection.localDescription });
      peer.offering = false;
    };
    connection.onicecandidate = ({ candidate }) => {
      if (current()) send("voice_signal", { call, to: id, candidate });
    };
    for (const track of microphone.getTracks()) connection.addTrack(track, microphone);
  }

  async function signal({ call, from, description, candidate }) {
    const peer = peers.get(from);
    if (description) {
      const busy = peer.offering || peer.connection.signalingState !== "stable";
      const collision = description.type === "offer" && busy;
      peer.ignoring = !peer.polite && collision;
      if (peer.ignoring) return;
      // Chromium gathers no candidates any more once a first offer was rolled back: it starts over.
      if (collision && !peer.connection.remoteDescription) {
        peer.connection.close();
        open(peer);
      }
    }
    const { connection } = peer;
    if (description) {
      await connection.setRemoteDescription(description);
      for (const early of peer.early.splice(0)) await connection.addIceCandidate(early);
      if (description.type === "offer") {
        await connection.setLocalDescription();
        send("voice_signal", { call, to: from, description: connection.localDescription });
      }
    } else if (candidate && !peer.ignoring) {
      if (connection.remoteDescription) await connection.addIceCandidate(candidate);
      else peer.early.push(candidate);
    }
  }

  async function heard({ type, data }) {
    end.seen.push(type);
    if (type === "error") end.errors.push(data);
    if (type === "status" && data.status === "live" && guest && !asked) {
      asked = true;
      send("voice_request", {});
    }
    if (type === "voice_queue" && data.items.length > 0) {
      send("voice_accept", { call: data.items[0].call });
    }
    if (type === "voice_started") await connect(data);
    if (type === "voice_signal") await signal(data);
    if (type === "voice_ended") end.ended = data;
  }

  // One after the other: the order of a pair's signals counts.
  let last = new Promise((resolve) => (socket.onopen = resolve));
  last = last.then(() => send("auth", { token }));
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    last = last.then(() => heard(frame)).catch((error) => end.errors.push(String(error)));
  };

  setInterval(async () => {
    const [peer] = peers.values();
    const stats = peer ? [...(await peer.connection.getStats()).values()] : [];
    end.packets = stats.find((s) => s.type === "inbound-rtp")?.packetsReceived ?? 0;
  }, 100);
  end.hangUp = () => send("voice_hangup", { call: end.call });
}

const owner = await account("ana");
const guest = await account("bea");
const stream = await call("/streams/", { title: "A call" }, owner);
console.log(JSON.stringify({ uid: stream.uid, key: stream.key }));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
  ],
});

try {
  const url = `${site.replace("http", "ws")}/ws/streams/${stream.uid}/`;
  const open = async (token, isGuest) => {
    const page = await (await browser.newContext({ permissions: ["microphone"] })).newPage();
    // A page of the same origin without a policy of its own.
    await page.goto(`${site}/healthz`);
    await page.evaluate(join, { url, token, guest: isGuest });
    return page;
  };
  const pages = [await open(owner, false), await open(guest, true)];
  const told = async (page) => JSON.stringify(await page.evaluate(() => window.end));
  const wait = async (what, check, argument) => {
    for (const page of pages) {
      await page.waitForFunction(check, argument, { timeout: 60_000, polling: 200 }).catch(async () => {
        throw new Error(`no ${what}: ${await told(page)}`);
      });
    }
  };
  await wait("sound", (least) => window.end.packets >= least, PACKETS);
  const packets = await Promise.all(pages.map((page) => page.evaluate(() => window.end.packets)));
  await pages[1].evaluate(() => window.end.hangUp());
  await wait("end", () => window.end.ended !== null);
  const ends = await Promise.all(pages.map((page) => page.evaluate(() => window.end)));
  const problems = ends.flatMap((end) => end.errors);
  console.log(JSON.stringify({ packets, ended: ends.map((end) => end.ended), problems }));
  if (problems.length > 0) process.exitCode = 1;
} finally {
  await browser.close();
}
