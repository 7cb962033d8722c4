//! The files of `web/` that are built into the program. It does not know what they contain.

use std::{io::Write, sync::OnceLock};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::docs;

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    /// Its path below the server's root.
    pub path: &'static str,
    /// Its bytes.
    pub content: &'static [u8],
    /// Quoted strong entity tags, plain and gzip.
    etags: OnceLock<[String; 2]>,
    gzip: OnceLock<Vec<u8>>,
}

impl PartialEq for Asset {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}
impl Eq for Asset {}

/// `asset!("file")` is `web/file`.
macro_rules! asset {
    ($file:literal) => {
        Asset {
            path: concat!("web/", $file),
            content: include_bytes!(concat!("../../web/", $file)),
            etags: OnceLock::new(),
            gzip: OnceLock::new(),
        }
    };
}

/// `/`
pub static HOME: Asset = asset!("home.html");
/// `/watch/{uid}`
pub static WATCH: Asset = asset!("watch.html");
/// `/studio`
pub static STUDIO: Asset = asset!("studio.html");
/// `/studio/{uid}/voice`
pub static VOICE: Asset = asset!("voice.html");
/// `/embed/{uid}`
pub static EMBED: Asset = asset!("embed.html");
/// `/docs`
static DOCS: Asset = asset!("docs.html");

static FILES: [Asset; 40] = [
    asset!("account.js"),
    asset!("api.js"),
    asset!("chat.js"),
    asset!("controls.js"),
    asset!("docs.css"),
    asset!("docs.js"),
    asset!("dom.js"),
    asset!("embed.js"),
    asset!("health.js"),
    asset!("home.js"),
    asset!("i18n.js"),
    asset!("icon.svg"),
    asset!("jumps.js"),
    asset!("mesh.js"),
    asset!("moderators.js"),
    asset!("people.js"),
    asset!("player.css"),
    asset!("player.js"),
    asset!("questions.js"),
    asset!("recordings.js"),
    asset!("refusals.js"),
    asset!("reminder.js"),
    asset!("room.css"),
    asset!("room.js"),
    asset!("socket.js"),
    asset!("stage.js"),
    asset!("stream.js"),
    asset!("studio-create.js"),
    asset!("studio-desk.js"),
    asset!("studio-edit.js"),
    asset!("studio.css"),
    asset!("studio.js"),
    asset!("style.css"),
    asset!("subscribe.js"),
    asset!("texts.js"),
    asset!("voice-page.js"),
    asset!("voice.js"),
    asset!("watch.js"),
    asset!("vendor/hls.js/hls.min.mjs"),
    asset!("vendor/hls.js/hls.worker.js"),
];

/// The file at `path`, which has no leading slash.
pub fn find(path: &str) -> Option<&'static Asset> {
    let path = match path {
        // Browsers ask for it by themselves.
        "favicon.ico" => "web/icon.svg",
        "docs" => return Some(&DOCS),
        "openapi.json" => return Some(docs::openapi()),
        "asyncapi.json" => return Some(docs::asyncapi()),
        path => path,
    };
    FILES.iter().find(|asset| asset.path == path)
}

impl Asset {
    /// A file that was made from another one.
    pub fn made(path: &'static str, content: Vec<u8>) -> Self {
        Self {
            path,
            // Once for each such file, and for as long as the process runs.
            content: content.leak(),
            etags: OnceLock::new(),
            gzip: OnceLock::new(),
        }
    }

    /// By the file's name.
    pub fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, end)| end) {
            Some("html") => "text/html; charset=utf-8",
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("json") => "application/json",
            _ => "application/octet-stream",
        }
    }

    /// Quoted strong entity tag of the content, or of its gzip form.
    pub fn etag(&self, gzip: bool) -> &str {
        let etags = self.etags.get_or_init(|| {
            let digest = Sha256::digest(self.content);
            let hex: String = digest[..10].iter().map(|b| format!("{b:02x}")).collect();
            [format!("\"{hex}\""), format!("\"{hex}-gz\"")]
        });
        &etags[usize::from(gzip)]
    }

    /// The content compressed, at first use and for good.
    pub fn gzip(&self) -> &[u8] {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder
                .write_all(self.content)
                .and_then(|()| encoder.finish())
                .expect("a Vec takes every write")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    static PAGES: [&Asset; 6] = [&HOME, &WATCH, &STUDIO, &VOICE, &EMBED, &DOCS];

    #[test]
    fn every_file_has_a_type_and_its_own_tag() {
        let all: Vec<_> = FILES
            .iter()
            .chain(PAGES)
            .chain([docs::openapi(), docs::asyncapi()])
            .collect();
        let tags: HashSet<_> = all.iter().map(|asset| asset.etag(false)).collect();
        assert_eq!(tags.len(), all.len());
        for asset in &all {
            assert_ne!(
                asset.content_type(),
                "application/octet-stream",
                "{asset:?}"
            );
            assert!(!asset.content.is_empty());
            assert_ne!(asset.etag(true), asset.etag(false));
            assert!(asset.gzip().starts_with(b"\x1f\x8b"));
        }
    }

    /// A browser refuses inline code under the pages' policy.
    #[test]
    fn pages_carry_no_inline_code_or_style() {
        for page in PAGES {
            let text = std::str::from_utf8(page.content).unwrap();
            for inline in ["<style", " style=", " onclick=", " onload=", " onsubmit="] {
                assert!(!text.contains(inline), "{inline}");
            }
            for script in text.split("<script").skip(1) {
                assert!(script.contains(" src=\"/web/"), "{script}");
            }
        }
    }

    /// Modules import by address, which no build step checks.
    #[test]
    fn what_modules_import_exists() {
        for asset in FILES.iter().filter(|asset| !asset.path.contains("vendor")) {
            let text = std::str::from_utf8(asset.content).unwrap();
            for rest in text.split("from \"").skip(1) {
                let file = rest.split('"').next().unwrap();
                let path = file.replacen("./", "web/", 1);
                let path = path.trim_start_matches('/');
                assert!(find(path).is_some(), "{} imports {file}", asset.path);
            }
        }
    }

    #[test]
    fn what_pages_name_exists() {
        for page in PAGES {
            let text = std::str::from_utf8(page.content).unwrap();
            for rest in text.split("\"/web/").skip(1) {
                let file = rest.split('"').next().unwrap();
                assert!(find(&format!("web/{file}")).is_some(), "{file}");
            }
        }
    }
}
