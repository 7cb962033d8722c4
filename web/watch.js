// The watch page: plays one stream, and waits for it when it is not there. It knows the playlist's
// address and nothing else of the server.

import Hls from "/web/vendor/hls.js/hls.light.min.mjs";

/** How long to wait before asking again for a stream that is not there. */
const RETRY_MS = 2000;
/** Further behind the live edge than this, the way back is offered. */
const FAR_BEHIND_S = 20;

const $ = (id) => document.getElementById(id);
const video = $("video");
const uid = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const source = `/live/${encodeURIComponent(uid)}/index.m3u8`;

const TEXTS = {
  waiting: "Waiting for the stream",
  loading: "Loading",
  live: "Live",
  ended: "The stream has ended",
  unsupported: "This browser cannot play the stream",
};

function show(state) {
  const status = $("status");
  if (status.dataset.state === state && status.textContent === TEXTS[state]) return;
  status.dataset.state = state;
  status.textContent = TEXTS[state];
  $("notice-text").textContent = TEXTS[state];
  $("notice").hidden = state === "live" || (state === "ended" && video.readyState > 0);
}

/** Starts with sound if the browser lets it, else silent with a button. */
async function play() {
  try {
    await video.play();
  } catch {
    // The reader has to press play: the controls are there.
  }
  $("unmute").hidden = !video.muted;
}

/** True when the playlist is there. */
async function exists() {
  try {
    const answer = await fetch(source, { method: "HEAD", cache: "no-store" });
    return answer.ok;
  } catch {
    return false;
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function waitForStream() {
  while (!(await exists())) {
    show("waiting");
    await pause(RETRY_MS);
  }
  show("loading");
}

/** Plays with hls.js until the stream ends ("ended") or breaks off ("lost"). */
function playWithHls() {
  return new Promise((done) => {
    const hls = new Hls({
      workerPath: "/web/vendor/hls.js/hls.worker.js",
      liveDurationInfinity: true,
      backBufferLength: 60,
    });
    let recovered = false;
    let ended = false;
    const finish = (how) => {
      hls.destroy();
      done(how);
    };
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      ended = !details.live;
    });
    hls.on(Hls.Events.FRAG_BUFFERED, () => {
      recovered = false;
      if (!ended) show("live");
    });
    hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
      if (!fatal) return;
      if (type === Hls.ErrorTypes.MEDIA_ERROR && !recovered) {
        recovered = true;
        hls.recoverMediaError();
      } else {
        finish("lost");
      }
    });
    video.onended = () => {
      if (ended) done("ended");
    };
    hls.loadSource(source);
    hls.attachMedia(video);
    hls.once(Hls.Events.MANIFEST_PARSED, play);
    $("edge").onclick = () => {
      if (hls.liveSyncPosition) video.currentTime = hls.liveSyncPosition;
      play();
    };
    video.ontimeupdate = () => {
      const behind_s = (hls.liveSyncPosition ?? 0) - video.currentTime;
      $("edge").hidden = ended || behind_s < FAR_BEHIND_S;
    };
  });
}

/** Plays with the browser's own HLS: Safari on phones. */
function playNatively() {
  return new Promise((done) => {
    video.onplaying = () => show("live");
    video.onended = () => done("ended");
    video.onerror = () => done("lost");
    video.src = source;
    play();
  });
}

async function main() {
  $("playlist").href = source;
  $("unmute").onclick = () => {
    video.muted = false;
    $("unmute").hidden = true;
  };
  video.onvolumechange = () => {
    $("unmute").hidden = !video.muted;
  };
  const native = video.canPlayType("application/vnd.apple.mpegurl") !== "";
  if (!Hls.isSupported() && !native) {
    show("unsupported");
    return;
  }
  for (;;) {
    await waitForStream();
    const how = Hls.isSupported() ? await playWithHls() : await playNatively();
    if (how === "ended") {
      show("ended");
      return;
    }
    show("waiting");
    await pause(RETRY_MS);
  }
}

main();
