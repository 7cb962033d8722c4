// The sound between those on stage: a connection to each peer by perfect negotiation, and levels of
// what is heard. It does not know the stage's rules, and no sound passes the server.

/** Between two looks at a level. */
const METER_MS = 100;

/** Shows how loud a stream is in a `meter`; gives what ends it. */
export function watchLevel(stream, meter) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const square = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
    meter.value = Math.min(1, Math.sqrt(square) * 4);
  }, METER_MS);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

/** The microphone; null where the page may not have it. */
export const canSpeak = () => Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);

export const openMicrophone = () => navigator.mediaDevices.getUserMedia({
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
});

/** One connection. */
class Peer {
  #making = false;
  #ignoring = false;
  #early = [];
  #work = Promise.resolve();

  constructor(mesh, { call, id, user, polite, iceServers }) {
    Object.assign(this, { mesh, call, id, user, polite, iceServers });
    this.audio = document.createElement("audio");
    this.audio.autoplay = true;
    this.#open();
  }

  #open() {
    const { mesh } = this;
    const connection = new RTCPeerConnection({ iceServers: this.iceServers });
    this.connection = connection;
    this.#making = false;
    connection.ontrack = ({ track, streams }) => {
      this.audio.srcObject = streams[0] ?? new MediaStream([track]);
      this.audio.play().catch(() => {});
      this.stopMeter?.();
      if (this.meter) this.stopMeter = watchLevel(this.audio.srcObject, this.meter);
      mesh.changed();
    };
    connection.onicecandidate = ({ candidate }) => {
      if (candidate && connection === this.connection) mesh.signal(this, { candidate: candidate.toJSON() });
    };
    connection.onnegotiationneeded = () => this.#offer(connection);
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed") connection.restartIce();
      mesh.changed();
    };
    const track = mesh.microphone?.getAudioTracks()[0];
    if (track) connection.addTrack(track, mesh.microphone);
    else connection.addTransceiver("audio", { direction: "recvonly" });
  }

  async #offer(connection) {
    const current = () => connection === this.connection;
    if (!current()) return;
    try {
      this.#making = true;
      await connection.setLocalDescription();
      if (current()) this.mesh.signal(this, { description: plain(connection.localDescription) });
    } catch (error) {
      if (current()) this.mesh.failed(error);
    } finally {
      if (current()) this.#making = false;
    }
  }

  /** Signals of one peer are taken in their order. */
  take(signal) {
    this.#work = this.#work.then(() => this.#apply(signal)).catch((error) => {
      if (!this.#ignoring) this.mesh.failed(error);
    });
  }

  async #apply({ description, candidate }) {
    if (description) {
      const busy = this.#making || this.connection.signalingState !== "stable";
      const collision = description.type === "offer" && busy;
      this.#ignoring = !this.polite && collision;
      if (this.#ignoring) return;
      // Chromium gathers no candidates any more once a first offer was rolled back: it starts over.
      if (collision && !this.connection.remoteDescription) {
        this.connection.close();
        this.#open();
      }
    }
    const { connection } = this;
    if (description) {
      await connection.setRemoteDescription(description);
      for (const early of this.#early.splice(0)) await connection.addIceCandidate(early);
      if (description.type === "offer") {
        await connection.setLocalDescription();
        this.mesh.signal(this, { description: plain(connection.localDescription) });
      }
    } else if (candidate && !this.#ignoring) {
      if (connection.remoteDescription) await connection.addIceCandidate(candidate);
      else this.#early.push(candidate);
    }
  }

  close() {
    this.stopMeter?.();
    this.connection.close();
    this.audio.srcObject = null;
  }
}

const plain = ({ type, sdp }) => ({ type, sdp });

export class Mesh {
  #peers = new Map();
  /** Signals of peers that are not announced yet. */
  #waiting = new Map();

  constructor(socket, changed) {
    this.socket = socket;
    this.changed = changed;
    this.microphone = null;
    this.failure = null;
    socket.on("voice_signal", (data) => {
      const peer = this.#peers.get(data.from);
      if (peer) peer.take(data);
      else this.#waiting.set(data.from, [...(this.#waiting.get(data.from) ?? []), data].slice(-50));
    });
  }

  get peers() {
    return [...this.#peers.values()];
  }

  /** Connects to those that a `voice_started` names. */
  start({ call, peers, polite, ice_servers: iceServers }) {
    for (const { id, user } of peers) {
      this.#peers.get(id)?.close();
      const peer = new Peer(this, { call, id, user, polite, iceServers });
      this.#peers.set(id, peer);
      for (const early of this.#waiting.get(id) ?? []) if (early.call === call) peer.take(early);
      this.#waiting.delete(id);
    }
    this.changed();
  }

  signal(peer, payload) {
    this.socket.send("voice_signal", { call: peer.call, to: peer.id, ...payload }).catch((error) => {
      if (error.code !== "not_found") this.failed(error);
    });
  }

  failed(error) {
    this.failure = error;
    this.changed();
  }

  /** Ends the connection to the peer of that call, or all of them. */
  end(id) {
    for (const [name, peer] of this.#peers) {
      if (id !== undefined && name !== id) continue;
      peer.close();
      this.#peers.delete(name);
    }
    this.changed();
  }

  mute(muted) {
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  closeMicrophone() {
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
    this.microphone = null;
  }
}
