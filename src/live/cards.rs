//! The built-in cards, and which of them suits a stream. It does not know how they become segments;
//! `slate/make-cards.sh` makes them.

use std::sync::LazyLock;

use bytes::Bytes;
use segmenter::slate::Still;

/// Two cards in the same resolution.
struct Pair {
    paused: Still,
    reconnecting: Still,
}

macro_rules! pair {
    ($lines:literal) => {
        Pair {
            paused: parse(include_bytes!(concat!("slate/paused-", $lines, ".h264"))),
            reconnecting: parse(include_bytes!(concat!(
                "slate/reconnecting-",
                $lines,
                ".h264"
            ))),
        }
    };
}

static PAIRS: LazyLock<[Pair; 4]> =
    LazyLock::new(|| [pair!("360"), pair!("480"), pair!("720"), pair!("1080")]);

fn parse(file: &'static [u8]) -> Still {
    Still::parse(&Bytes::from_static(file)).expect("the built-in cards are tested")
}

/// The card whose shorter side is nearest to `lines`: "Reconectando / Reconnecting" when `lost`,
/// else "En pausa / Paused".
pub(super) fn card(lost: bool, lines: u32) -> &'static Still {
    let [first, others @ ..] = &*PAIRS;
    let nearest = others.iter().fold(first, |best, pair| {
        let distance = |pair: &Pair| pair.paused.lines().abs_diff(lines);
        if distance(pair) < distance(best) {
            pair
        } else {
            best
        }
    });
    if lost {
        &nearest.reconnecting
    } else {
        &nearest.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_resolution_is_taken() {
        for (lines, expected) in [
            (0, 360),
            (240, 360),
            (419, 360),
            (480, 480),
            (576, 480),
            (720, 720),
            (1080, 1080),
            (2160, 1080),
        ] {
            for lost in [false, true] {
                assert_eq!(card(lost, lines).lines(), expected, "{lines}");
            }
        }
    }
}
