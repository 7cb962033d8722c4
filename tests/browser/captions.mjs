// Gives an FLV file captions: CEA-608 pairs in an SEI message before each picture (ATSC A/53 part 4
// 6.2.3, ITU-T T.35), a caption that pops on anew each 2 s. It does not know how they are shown.

import { readFileSync, writeFileSync } from "node:fs";

const FLV_HEADER_BYTES = 13;
const TAG_HEADER_BYTES = 11;
const VIDEO = 9;
const AVC = 7;
const PICTURE = 1;

/** Each byte of a pair has odd parity (CEA-608 4.1). */
function odd(byte) {
  const ones = byte.toString(2).replaceAll("0", "").length;
  return ones % 2 ? byte : byte | 0x80;
}

/** From one showing to the next. */
const PERIOD_S = 2;

/** The pairs of one period: `text` is loaded behind what is shown, which it then replaces; commands are sent twice. */
function pairs(text, fps) {
  const command = (second) => [[0x14, second], [0x14, second]];
  const characters = [...text.padEnd(text.length + (text.length % 2), " ")].map((one) => one.charCodeAt(0));
  const words = characters.flatMap((one, n) => (n % 2 ? [] : [[one, characters[n + 1]]]));
  // Resume loading, erase what is loaded, row 15, the text; pairs of zeros say nothing.
  const load = [...command(0x20), ...command(0x2e), ...command(0x70), ...words];
  // Erase what is shown, show what is loaded.
  const flip = [...command(0x2c), ...command(0x2f)];
  return [...load, ...Array(fps * PERIOD_S - load.length - flip.length).fill([0, 0]), ...flip];
}

/** An SEI NAL unit with its length before it, as AVCC wants it. */
function sei([first, second]) {
  const data = [0xb5, 0x00, 0x31, 0x47, 0x41, 0x39, 0x34, 0x03, 0x40 | 1, 0xff, 0xfc, odd(first), odd(second), 0xff];
  const nal = Buffer.from([0x06, 0x04, data.length, ...data, 0x80]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(nal.length);
  return Buffer.concat([length, nal]);
}

/** Writes `from` to `to` with `text` as its caption, again and again. */
export function addCaptions(from, to, text, fps = 25) {
  const file = readFileSync(from);
  const parts = [file.subarray(0, FLV_HEADER_BYTES)];
  const period = pairs(text, fps);
  let picture = 0;
  for (let at = FLV_HEADER_BYTES; at + TAG_HEADER_BYTES <= file.length;) {
    const size = file.readUIntBE(at + 1, 3);
    const head = Buffer.from(file.subarray(at, at + TAG_HEADER_BYTES));
    let payload = file.subarray(at + TAG_HEADER_BYTES, at + TAG_HEADER_BYTES + size);
    at += TAG_HEADER_BYTES + size + 4;
    if (head[0] === VIDEO && (payload[0] & 15) === AVC && payload[1] === PICTURE) {
      payload = Buffer.concat([payload.subarray(0, 5), sei(period[picture % period.length]), payload.subarray(5)]);
      picture += 1;
    }
    head.writeUIntBE(payload.length, 1, 3);
    const before = Buffer.alloc(4);
    before.writeUInt32BE(head.length + payload.length);
    parts.push(head, payload, before);
  }
  writeFileSync(to, Buffer.concat(parts));
}
