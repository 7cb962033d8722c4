//! File mode, the work behind `cauce segment IN.flv OUT_DIR`: an FLV file in, the HLS directory
//! that the server would serve for it out. It does not know how a segment is cut or written down.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use segmenter::{
    Notice, Segmenter,
    flv::{self, FlvError},
};

use crate::{
    config,
    error::{Error, Kind, Result},
};

mod input;
mod output;
#[cfg(test)]
mod tests;
mod writing;

use input::Input;
use output::Output;
use writing::{Ended, Writing};

/// One open segment. A file has one publisher, whom we trust more than the network's, and fewer
/// keyframes than live streams; so this is above `limits.segment_bytes`.
const SEGMENT_BYTES: usize = 256 << 20;

/// Arguments of `cauce segment`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// FLV file to read (H.264 and AAC); `-` is standard input
    #[arg(value_name = "IN.flv")]
    pub input: PathBuf,
    /// Directory for index.m3u8 and source/; made if absent. An earlier output of this command in
    /// it is replaced, other files in it are left alone
    pub out_dir: PathBuf,
}

/// What to segment, where to and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The FLV file; `-` is standard input.
    pub input: PathBuf,
    /// The directory for `index.m3u8` and `source/`.
    pub out_dir: PathBuf,
    /// Aims and limits of the segmenter.
    pub segmenter: segmenter::Config,
}

impl Options {
    /// The arguments, with `hls.target_duration` and `hls.max_segment` of the configuration.
    pub fn new(args: &Args, hls: &config::Hls) -> Self {
        let ms = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
        Self {
            input: args.input.clone(),
            out_dir: args.out_dir.clone(),
            segmenter: segmenter::Config {
                target_ms: ms(hls.target_duration),
                max_segment_ms: ms(hls.max_segment),
                segment_bytes: SEGMENT_BYTES,
            },
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Segments written.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sum of their EXTINF.
    pub duration: Duration,
    /// Wall clock of the run.
    pub elapsed: Duration,
    /// How often the input was irregular, by kind.
    pub notices: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// `{"segments", "bytes", "duration_s", "seconds", "notices": {kind: count}}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "segments": self.segments,
            "bytes": self.bytes,
            "duration_s": self.duration.as_secs_f64(),
            "seconds": self.elapsed.as_secs_f64(),
            "notices": self.notices,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media_s = self.duration.as_secs_f64();
        let elapsed_s = self.elapsed.as_secs_f64();
        write!(
            f,
            "{} segments, {:.1} MB, {media_s:.3} s of media in {elapsed_s:.2} s",
            self.segments,
            self.bytes as f64 / 1e6,
        )?;
        for (name, count) in &self.notices {
            write!(f, ", {name} {count}")?;
        }
        Ok(())
    }
}

/// Segments a file. `OUT_DIR/source/` gets the segments `file-0.ts`, `file-1.ts`... and their media
/// playlist, `OUT_DIR/index.m3u8` the multivariant playlist. Both playlists are also written while
/// the run goes on, so that an interrupted one leaves something playable.
///
/// # Errors
/// A damaged, truncated or refused input is told with its byte offset; what came before it is
/// written and its playlist closed, as the message says. Failing to read or write, an absent input
/// and an output directory that holds something else are told with their path.
pub fn run(options: &Options) -> Result<Summary> {
    let started = Instant::now();
    let name = input_name(&options.input);
    let mut input = Input::open(&options.input).map_err(|e| {
        let kind = match e.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Unavailable,
        };
        Error::with(kind, name.clone(), e)
    })?;
    let output = Output::new(&options.out_dir, input.date)?;
    let progress = progress_bar(input.size_bytes);
    let mut job = Job {
        reader: flv::Reader::new(flv::MAX_DATA_BYTES),
        segmenter: Segmenter::new(options.segmenter.clone(), None),
        output: Writing::start(output)?,
        notices: BTreeMap::new(),
    };
    let outcome = job.read_all(&mut input, &progress);
    progress.finish_and_clear();
    let stop = outcome.err();
    let closed = job.close()?;
    let summary = Summary {
        elapsed: started.elapsed(),
        ..closed
    };
    match stop {
        None if summary.segments == 0 => Err(Error::new(
            Kind::Config,
            format!("{name}: no H.264 or AAC media in it, nothing was written"),
        )),
        None => Ok(summary),
        Some(stop) => Err(stop.into_error(&name, &options.out_dir, &summary)),
    }
}

/// Why reading ended before the end of the input.
enum Stop {
    /// The file is damaged or ends too early.
    Damaged(FlvError),
    /// The segmenter refuses what stands at this byte.
    Refused(u64, segmenter::Refusal),
    /// The operating system failed to read on from this byte.
    Unreadable(u64, io::Error),
    /// Output could not be written; nothing more is tried. Closing it tells why.
    Output,
}

impl From<Ended> for Stop {
    fn from(_: Ended) -> Self {
        Self::Output
    }
}

impl Stop {
    fn into_error(self, input: &str, out_dir: &Path, summary: &Summary) -> Error {
        let (kind, offset, what) = match self {
            Self::Damaged(error) => (Kind::Config, error.offset, error.what.to_string()),
            Self::Refused(offset, refusal) => (Kind::Config, offset, refusal.to_string()),
            Self::Unreadable(offset, error) => (Kind::Unavailable, offset, error.to_string()),
            // Closing it was tried first, and told the reason.
            Self::Output => return Error::new(Kind::Unavailable, "the output ended early"),
        };
        let rest = match summary.segments {
            0 => "nothing was written".to_owned(),
            n => format!(
                "what came before byte {offset} is written to {} and its playlist closed ({n} \
                 segments, {:.3} s); run again with a repaired input to replace it",
                out_dir.display(),
                summary.duration.as_secs_f64()
            ),
        };
        Error::new(kind, format!("{input}: at byte {offset}: {what}; {rest}"))
    }
}

/// One run.
struct Job {
    reader: flv::Reader,
    segmenter: Segmenter,
    output: Writing,
    notices: BTreeMap<&'static str, u64>,
}

impl Job {
    /// Segments the whole input, and finishes the segmenter unless it refused.
    fn read_all(&mut self, input: &mut Input, progress: &ProgressBar) -> Result<(), Stop> {
        let ended = loop {
            match input.next_chunk() {
                Ok(Some(chunk)) => {
                    progress.inc(chunk.len() as u64);
                    self.reader.feed(chunk);
                }
                Ok(None) => break self.reader.finish().map_err(Stop::Damaged),
                Err(error) => break Err(Stop::Unreadable(self.reader.offset(), error)),
            }
            match self.push_tags() {
                Err(Stop::Damaged(error)) => break Err(Stop::Damaged(error)),
                other => other?,
            }
        };
        self.segmenter.finish();
        self.drain()?;
        ended
    }

    fn push_tags(&mut self) -> Result<(), Stop> {
        loop {
            let Some(tag) = self.reader.next_tag().map_err(Stop::Damaged)? else {
                return Ok(());
            };
            let pushed = self.segmenter.push(&tag);
            self.drain()?;
            pushed.map_err(|refusal| Stop::Refused(self.reader.tag_offset(), refusal))?;
        }
    }

    fn drain(&mut self) -> Result<(), Ended> {
        while let Some(output) = self.segmenter.poll() {
            match output {
                segmenter::Output::Tracks(tracks) => self.output.tracks(tracks)?,
                segmenter::Output::Segment(segment) => self.output.segment(segment)?,
                segmenter::Output::Notice(notice) => self.notice(&notice),
            }
        }
        Ok(())
    }

    fn notice(&mut self, notice: &Notice) {
        let name = match notice {
            Notice::CutWithoutIdr { .. } => "cut_without_idr",
            Notice::Jump { .. } => "jump",
            Notice::Clamped { .. } => "clamped",
            Notice::ParametersChanged => "parameters_changed",
            Notice::TrackAdded => "track_added",
            Notice::Dropped { .. } => "dropped",
        };
        let count = self.notices.entry(name).or_default();
        *count += 1;
        // The first of a kind is news, a thousand of them are a number in the summary.
        if *count == 1 {
            let offset = self.reader.tag_offset();
            tracing::warn!(offset, ?notice, "irregular input");
        }
    }

    fn close(self) -> Result<Summary> {
        let mut notices = self.notices;
        let tolerated = self.reader.tolerated();
        for (name, count) in [
            ("wrong_previous_tag_size", tolerated.wrong_previous_sizes),
            ("unknown_tag", tolerated.unknown_tags),
        ] {
            if count > 0 {
                notices.insert(name, count);
            }
        }
        let summary = self.output.close()?;
        Ok(Summary { notices, ..summary })
    }
}

fn input_name(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    }
}

/// A bar on standard error; indicatif draws nothing when that is no terminal.
fn progress_bar(size_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match size_bytes {
        Some(size) => (
            ProgressBar::new(size),
            "{wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ETA {eta}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {decimal_bytes} {decimal_bytes_per_sec} {elapsed}",
        ),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is well formed"))
}
