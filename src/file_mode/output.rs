//! The directory that file mode writes, laid out as the server serves a stream: `index.m3u8`, and
//! `source/` with the media playlist and its segments. It does not know where segments come from.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, IoSlice, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use segmenter::{
    Segment,
    playlist::{Entry, MediaPlaylist, PlaylistKind, Variant, render_multivariant},
    segment::Tracks,
};

use super::Summary;
use crate::error::{Error, Kind, Result};

/// The one session of a file.
const SESSION: &str = "file";
const PLAYLIST: &str = "index.m3u8";
const TEMPORARY: &str = "index.m3u8.tmp";
const RENDITION: &str = "source";
/// Segments between two writes of the playlists during a run, at least.
const RELIST_SEGMENTS: u64 = 8;
/// The playlists are written again when this part of the segments is not yet listed: a constant
/// interval would make the work quadratic in the length of the file.
const RELIST_PART: u64 = 16;

/// One rendition being written.
pub struct Output {
    dir: PathBuf,
    rendition: PathBuf,
    date: Duration,
    /// Made with the first segment, which brings TARGETDURATION.
    playlist: Option<MediaPlaylist>,
    target_duration_s: u32,
    segments: u64,
    listed: u64,
    bytes: u64,
    duration_90k: u64,
    peak_bps: u64,
    codecs: Codecs,
}

/// What the multivariant playlist tells of the tracks seen so far.
#[derive(Default)]
struct Codecs {
    video: Vec<String>,
    audio: Vec<String>,
    resolution: Option<(u32, u32)>,
    frame_rate: Option<f64>,
}

impl Output {
    /// Checks that `dir` can take an output whose first segment begins at `date` (since the Unix
    /// epoch). Nothing is changed before the first segment.
    ///
    /// # Errors
    /// `Conflict` when something stands in the way that this command did not write.
    pub fn new(dir: &Path, date: Duration) -> Result<Self> {
        let rendition = dir.join(RENDITION);
        check(dir, &rendition)?;
        Ok(Self {
            dir: dir.to_owned(),
            rendition,
            date,
            playlist: None,
            target_duration_s: 0,
            segments: 0,
            listed: 0,
            bytes: 0,
            duration_90k: 0,
            peak_bps: 0,
            codecs: Codecs::default(),
        })
    }

    /// Notes tracks for the multivariant playlist.
    pub fn tracks(&mut self, tracks: &Tracks) {
        let codecs = &mut self.codecs;
        if let Some(video) = &tracks.video {
            insert(&mut codecs.video, &video.codec);
            let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
            let resolution = (video.width, video.height);
            if codecs.resolution.is_none_or(|r| area(r) < area(resolution)) {
                codecs.resolution = Some(resolution);
            }
            codecs.frame_rate = [codecs.frame_rate, video.fps]
                .into_iter()
                .flatten()
                .reduce(f64::max);
        }
        if let Some(audio) = &tracks.audio {
            insert(&mut codecs.audio, &audio.codec);
        }
    }

    /// Writes one segment and, every few segments, the playlists.
    ///
    /// # Errors
    /// `Unavailable` with the path that could not be written.
    pub fn segment(&mut self, segment: &Segment) -> Result<()> {
        let playlist = match &mut self.playlist {
            Some(playlist) => playlist,
            None => {
                clear(&self.dir, &self.rendition)?;
                fs::create_dir_all(&self.rendition).map_err(failed("making", &self.rendition))?;
                self.target_duration_s = segment.target_duration_s;
                let playlist = MediaPlaylist::new(segment.target_duration_s, 0, 0);
                self.playlist
                    .insert(playlist.with_kind(PlaylistKind::Event))
            }
        };
        let uri = format!("{SESSION}-{}.ts", self.segments);
        let path = self.rendition.join(&uri);
        write_slices(&path, &segment.body).map_err(failed("writing", &path))?;
        playlist.push(&Entry {
            duration_90k: segment.duration_90k,
            program_date_time: self.date + media_time(self.duration_90k),
            discontinuity: segment.discontinuity,
            independent: segment.independent,
            uri: &uri,
        });
        self.segments += 1;
        self.bytes += segment.len as u64;
        self.duration_90k += segment.duration_90k;
        // RFC 8216 4.3.4.2 measures the peak over at least half a target duration.
        if segment.duration_90k * 2 >= u64::from(self.target_duration_s) * 90_000 {
            let bps = bits_per_second(segment.len as u64, segment.duration_90k);
            self.peak_bps = self.peak_bps.max(bps);
        }
        let unlisted = self.segments - self.listed;
        let due = unlisted >= RELIST_SEGMENTS.max(self.segments / RELIST_PART);
        if self.listed == 0 || due {
            self.write_playlists()?;
        }
        Ok(())
    }

    /// Ends the playlists. Without any segment nothing was written.
    ///
    /// # Errors
    /// `Unavailable` with the path that could not be written.
    pub fn close(mut self) -> Result<Summary> {
        if let Some(playlist) = self.playlist.take() {
            let mut playlist = playlist.with_kind(PlaylistKind::Vod);
            playlist.end();
            self.playlist = Some(playlist);
            self.write_playlists()?;
        }
        Ok(Summary {
            segments: self.segments,
            bytes: self.bytes,
            duration: media_time(self.duration_90k),
            elapsed: Duration::ZERO,
            notices: BTreeMap::new(),
        })
    }

    /// Writes the media playlist, then the multivariant playlist that refers to it.
    fn write_playlists(&mut self) -> Result<()> {
        let Some(playlist) = &self.playlist else {
            return Ok(());
        };
        let mut text = Vec::new();
        playlist.render(&mut text);
        replace(&self.rendition, &text)?;
        let average_bandwidth = bits_per_second(self.bytes, self.duration_90k);
        let codecs = &self.codecs;
        let names: Vec<&str> = [&codecs.video, &codecs.audio]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let variant = Variant {
            bandwidth: self.peak_bps.max(average_bandwidth),
            average_bandwidth,
            codecs: &names,
            resolution: codecs.resolution,
            frame_rate: codecs.frame_rate,
            uri: &format!("{RENDITION}/{PLAYLIST}"),
        };
        replace(
            &self.dir,
            &render_multivariant(&[variant], playlist.independent()),
        )?;
        self.listed = self.segments;
        Ok(())
    }
}

fn insert(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|n| n == name) {
        names.push(name.to_owned());
    }
}

fn media_time(ticks_90k: u64) -> Duration {
    Duration::from_nanos(ticks_90k.saturating_mul(100_000) / 9)
}

fn bits_per_second(bytes: u64, duration_90k: u64) -> u64 {
    let bps = u128::from(bytes) * 8 * 90_000 / u128::from(duration_90k.max(1));
    u64::try_from(bps).unwrap_or(u64::MAX)
}

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |e| Error::with(Kind::Unavailable, format!("{doing} {}", path.display()), e)
}

/// Whether a file in `source/` is one that this command writes.
fn is_ours(name: &str) -> bool {
    let number = name
        .strip_prefix(SESSION)
        .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".ts"));
    match number {
        Some(number) => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
        None => name == PLAYLIST || name == TEMPORARY,
    }
}

/// Refuses a directory in which something else would be overwritten or mixed up with our output.
fn check(dir: &Path, rendition: &Path) -> Result<()> {
    let conflict = |path: &Path| {
        let path = path.display();
        let what = format!("{path} is in the way and no earlier output: choose another directory");
        Err(Error::new(Kind::Conflict, what))
    };
    let standing = dir.ancestors().find(|path| path.exists());
    if let Some(path) = standing.filter(|path| !path.is_dir()) {
        return conflict(path);
    }
    let playlist = dir.join(PLAYLIST);
    if playlist.exists() && !rendition.join(PLAYLIST).exists() {
        return conflict(&playlist);
    }
    let entries = match fs::read_dir(rendition) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return conflict(rendition),
        other => other.map_err(failed("reading", rendition))?,
    };
    for entry in entries {
        let entry = entry.map_err(failed("reading", rendition))?;
        if !entry.file_name().to_str().is_some_and(is_ours) {
            return conflict(&entry.path());
        }
    }
    Ok(())
}

/// Removes an earlier output, playlists first: at no time may one list what is gone.
fn clear(dir: &Path, rendition: &Path) -> Result<()> {
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(e)),
        _ => Ok(()),
    };
    remove(&dir.join(PLAYLIST))?;
    remove(&rendition.join(PLAYLIST))?;
    let entries = match fs::read_dir(rendition) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed("reading", rendition))?,
    };
    for entry in entries {
        let entry = entry.map_err(failed("reading", rendition))?;
        if entry.file_name().to_str().is_some_and(is_ours) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Gives `dir` a new playlist in one step, so that no reader sees half of one.
fn replace(dir: &Path, text: &[u8]) -> Result<()> {
    let (temporary, path) = (dir.join(TEMPORARY), dir.join(PLAYLIST));
    fs::write(&temporary, text).map_err(failed("writing", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("writing", &path))
}

/// Writes a new file in as few calls as the system takes; mostly one.
fn write_slices(path: &Path, body: &[Bytes]) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut slices: Vec<IoSlice<'_>> = body.iter().map(|b| IoSlice::new(b)).collect();
    let mut rest = &mut slices[..];
    // Drops leading empty slices, with which a write of 0 bytes would look like a full disk.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
