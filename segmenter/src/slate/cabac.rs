//! CABAC: the arithmetic encoder of H.264 9.3.4, as far as slices of skipped macroblocks need it.
//! It does not know slice headers.

/// rangeTabLPS (table 9-44), a row per pStateIdx, a column per qCodIRangeIdx.
const LPS_RANGES: [[u8; 4]; 64] = [
    [128, 176, 208, 240],
    [128, 167, 197, 227],
    [128, 158, 187, 216],
    [123, 150, 178, 205],
    [116, 142, 169, 195],
    [111, 135, 160, 185],
    [105, 128, 152, 175],
    [100, 122, 144, 166],
    [95, 116, 137, 158],
    [90, 110, 130, 150],
    [85, 104, 123, 142],
    [81, 99, 117, 135],
    [77, 94, 111, 128],
    [73, 89, 105, 122],
    [69, 85, 100, 116],
    [66, 80, 95, 110],
    [62, 76, 90, 104],
    [59, 72, 86, 99],
    [56, 69, 81, 94],
    [53, 65, 77, 89],
    [51, 62, 73, 85],
    [48, 59, 69, 80],
    [46, 56, 66, 76],
    [43, 53, 63, 72],
    [41, 50, 59, 69],
    [39, 48, 56, 65],
    [37, 45, 54, 62],
    [35, 43, 51, 59],
    [33, 41, 48, 56],
    [32, 39, 46, 53],
    [30, 37, 43, 50],
    [29, 35, 41, 48],
    [27, 33, 39, 45],
    [26, 31, 37, 43],
    [24, 30, 35, 41],
    [23, 28, 33, 39],
    [22, 27, 32, 37],
    [21, 26, 30, 35],
    [20, 24, 29, 33],
    [19, 23, 27, 31],
    [18, 22, 26, 30],
    [17, 21, 25, 28],
    [16, 20, 23, 27],
    [15, 19, 22, 25],
    [14, 18, 21, 24],
    [14, 17, 20, 23],
    [13, 16, 19, 22],
    [12, 15, 18, 21],
    [12, 14, 17, 20],
    [11, 14, 16, 19],
    [11, 13, 15, 18],
    [10, 12, 15, 17],
    [10, 12, 14, 16],
    [9, 11, 13, 15],
    [9, 11, 12, 14],
    [8, 10, 12, 14],
    [8, 9, 11, 13],
    [7, 9, 11, 12],
    [7, 9, 10, 12],
    [7, 8, 10, 11],
    [6, 8, 9, 11],
    [6, 7, 9, 10],
    [6, 7, 8, 9],
    [2, 2, 2, 2],
];

/// transIdxLPS (table 9-45).
const AFTER_LPS: [u8; 64] = [
    0, 0, 1, 2, 2, 4, 4, 5, 6, 7, 8, 9, 9, 11, 11, 12, 13, 13, 15, 15, 16, 16, 18, 18, 19, 19, 21,
    21, 22, 22, 23, 24, 24, 25, 26, 26, 27, 27, 28, 29, 29, 30, 30, 30, 31, 32, 32, 33, 33, 33, 34,
    34, 35, 35, 35, 36, 36, 36, 37, 37, 37, 38, 38, 63,
];

/// m and n of mb_skip_flag in P slices, ctxIdx 11 with cabac_init_idc 0 (table 9-13).
const SKIP_START: (i64, i64) = (23, 33);

/// Slice data of a P slice whose `macroblocks` are all skipped, from where it is byte-aligned to
/// the end of its trailing bits. `qp` is SliceQPY. At least one macroblock.
pub(super) fn all_skipped(macroblocks: u64, qp: i64) -> Vec<u8> {
    // Neighbours are skipped or outside the slice: each flag has context 11 (9.3.3.1.1.1).
    let mut context = Context::start(SKIP_START, qp);
    let mut encoder = Encoder::default();
    for left in (0..macroblocks).rev() {
        encoder.decision(&mut context, true);
        encoder.terminate(left == 0);
    }
    encoder.finish()
}

/// One context variable.
#[derive(Clone, Copy, Debug)]
struct Context {
    state: u8,
    most_probable: bool,
}

impl Context {
    /// Initialisation (9.3.1.1).
    fn start((m, n): (i64, i64), qp: i64) -> Self {
        let before = (((m * qp.clamp(0, 51)) >> 4) + n).clamp(1, 126) as u8;
        let most_probable = before >= 64;
        Self {
            state: if most_probable {
                before - 64
            } else {
                63 - before
            },
            most_probable,
        }
    }
}

/// The encoding engine (9.3.4.1 to 9.3.4.5).
#[derive(Debug)]
struct Encoder {
    low: u32,
    range: u32,
    outstanding: u64,
    first: bool,
    out: super::rbsp::BitWriter,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            low: 0,
            range: 510,
            outstanding: 0,
            first: true,
            out: super::rbsp::BitWriter::default(),
        }
    }
}

impl Encoder {
    fn decision(&mut self, context: &mut Context, bin: bool) {
        let state = usize::from(context.state & 63);
        let lps = u32::from(LPS_RANGES[state][(self.range >> 6 & 3) as usize]);
        self.range -= lps;
        if bin == context.most_probable {
            context.state = (context.state + 1).min(62);
        } else {
            self.low += self.range;
            self.range = lps;
            context.most_probable ^= context.state == 0;
            context.state = AFTER_LPS[state];
        }
        self.renormalise();
    }

    fn terminate(&mut self, bin: bool) {
        self.range -= 2;
        if bin {
            self.low += self.range;
            self.range = 2;
        }
        self.renormalise();
    }

    fn renormalise(&mut self) {
        while self.range < 256 {
            if self.low < 256 {
                self.bit(false);
            } else if self.low >= 512 {
                self.low -= 512;
                self.bit(true);
            } else {
                self.low -= 256;
                self.outstanding += 1;
            }
            self.range <<= 1;
            self.low <<= 1;
        }
    }

    fn bit(&mut self, bit: bool) {
        if !std::mem::take(&mut self.first) {
            self.out.put(u32::from(bit), 1);
        }
        for _ in 0..std::mem::take(&mut self.outstanding) {
            self.out.put(u32::from(!bit), 1);
        }
    }

    /// EncodeFlush behind a terminating bin: the last bit written is rbsp_stop_one_bit.
    fn finish(mut self) -> Vec<u8> {
        self.bit(self.low >> 9 & 1 == 1);
        self.out.put(self.low >> 7 & 3 | 1, 2);
        self.out.into_bytes()
    }
}
