//! The house rules that a machine can hold: who imports whom, how long files are, what they open
//! with. It does not know whether the code is good.

use std::{
    fs,
    path::{Path, PathBuf},
};

const BOTTOM: [&str; 8] = [
    "error",
    "name",
    "person",
    "config",
    "telemetry",
    "event",
    "time",
    "tls",
];

/// Module -> modules it may import, besides the bottom ones; ARCHITECTURE.md draws it.
const MATRIX: [(&str, &[&str]); 11] = [
    // `KeyHash` only: the shape of a column.
    ("db", &["auth"]),
    ("auth", &["db"]),
    ("live", &["db"]),
    ("rtmp", &["live", "auth"]),
    ("hub", &["db", "auth"]),
    ("mail", &[]),
    ("api", &["live", "db", "auth", "mail"]),
    // `auth` only for who a WebSocket's bearer is.
    ("http", &["api", "auth", "live", "hub"]),
    ("cli", &["app", "db", "auth", "mail", "file_mode"]),
    ("file_mode", &[]),
    ("main", &["app", "cli"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the repository with this extension, without what is built or vendored.
fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with(".git")
                    && !["target", "node_modules", "data"].contains(&name.as_str())
                {
                    walk(&path, extension, found);
                }
            } else if name.ends_with(extension) {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    walk(root(), extension, &mut found);
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The file's own code: without `#[cfg(test)] mod tests {`, which stands last. A `mod tests;` may stand
/// anywhere and hides nothing.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Is all of the file test code?
fn only_tests(path: &Path) -> bool {
    let shown = shown(path);
    shown.starts_with("tests/")
        || shown.contains("/tests/")
        || shown.ends_with("tests.rs")
        || shown.ends_with("testing.rs")
        || shown.contains("benches/")
}

fn report(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    let faults: Vec<_> = files(".rs")
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        // A fuzz target must open with its driver's attribute.
        .filter(|path| {
            !fs::read_to_string(path)
                .unwrap()
                .starts_with("#![no_main]\n//! ")
        })
        .map(|path| shown(path))
        .collect();
    report("files that do not open with //!", &faults);
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let faults: Vec<_> = files(".rs")
        .iter()
        .filter(|path| !only_tests(path))
        .map(|path| (shown(path), code(path).lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    report("too long", &faults);
}

/// The module of the root crate that a file belongs to.
fn module(path: &Path) -> Option<String> {
    let rest = path.strip_prefix(root().join("src")).ok()?;
    let first = rest.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// Modules of the root crate that a line of code names.
fn imports(module: &str, code: &str) -> Vec<String> {
    let bare: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = vec![];
    // The binary sees the modules from outside.
    let prefix = if module == "main" {
        "cauce::"
    } else {
        "crate::"
    };
    for (at, _) in bare.match_indices(prefix) {
        let rest = &bare[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group_heads(group));
        } else {
            found.push(head(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn head(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// First names of the paths in `a::b, c::{d, e}, f}` up to the brace that closes the group.
fn group_heads(text: &str) -> Vec<String> {
    let (mut depth, mut heads, mut start) = (0, vec![], 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(head(text[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(head(text[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn imports_follow_the_matrix() {
    let mut faults = vec![];
    for path in files(".rs").iter().filter(|path| !only_tests(path)) {
        let Some(module) = module(path) else { continue };
        if module == "app" || module == "lib" {
            continue;
        }
        let allowed = MATRIX
            .iter()
            .find(|(name, _)| *name == module)
            .map_or(&[][..], |(_, to)| to);
        for import in imports(&module, &code(path)) {
            let known = MATRIX.iter().any(|(name, _)| *name == import) || import == "app";
            if import == module || !known && !BOTTOM.contains(&import.as_str()) {
                continue;
            }
            if !BOTTOM.contains(&import.as_str()) && !allowed.contains(&import.as_str()) {
                faults.push(format!("{}: {module} may not import {import}", shown(path)));
            }
        }
    }
    report("imports against the matrix", &faults);
}

#[test]
fn segmenter_and_storage_stand_alone() {
    let mut faults = vec![];
    for path in files(".rs").iter().filter(|path| !only_tests(path)) {
        let (name, code) = (shown(path), code(path));
        let forbidden: &[&str] = if name.starts_with("segmenter/src") {
            &[
                "tokio",
                "Instant",
                "std::fs",
                "std::net",
                "SystemTime",
                "cauce::",
                "storage::",
            ]
        } else if name.starts_with("storage/src") {
            &["cauce::", "segmenter::"]
        } else {
            continue;
        };
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for word in forbidden.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{name}: names {word}: {}", line.trim()));
            }
        }
    }
    report("crates that know too much", &faults);
}

#[test]
fn foreign_crates_are_named_in_one_module() {
    let owners = [
        ("rusqlite", "src/db"),
        ("rml_rtmp", "src/rtmp/client"),
        ("openh264", "src/live"),
        ("mpeg2ts", "src/live"),
        ("jpeg_encoder", "src/live"),
        ("hyper", "src/http"),
        ("lettre", "src/mail"),
        ("tokio_rustls", "src/tls"),
        ("jsonwebtoken", "src/auth"),
        ("argon2", "src/auth"),
        ("chacha20poly1305", "src/auth"),
    ];
    let mut faults = vec![];
    for path in files(".rs").iter().filter(|path| !only_tests(path)) {
        let (name, code) = (shown(path), code(path));
        for (krate, owner) in owners {
            let named = code.lines().filter(|l| !l.trim_start().starts_with("//"));
            let mut named = named.filter(|l| l.contains(&format!("{krate}::")));
            if name.starts_with("src/") && !name.starts_with(owner) && named.next().is_some() {
                faults.push(format!("{name} names {krate}, which belongs to {owner}"));
            }
        }
    }
    report("crates named elsewhere", &faults);
}

#[test]
fn no_unwrap_outside_tests() {
    let mut faults = vec![];
    for path in files(".rs").iter().filter(|path| !only_tests(path)) {
        let code = code(path);
        let lines = code.lines().enumerate();
        let found =
            lines.filter(|(_, l)| !l.trim_start().starts_with("//") && l.contains(".unwrap()"));
        faults.extend(found.map(|(n, l)| format!("{}:{}: {}", shown(path), n + 1, l.trim())));
    }
    report("unwrap outside tests", &faults);
}

#[test]
fn no_sleeping_or_skipped_tests() {
    let mut faults = vec![];
    // Spelled apart, so that this file does not find itself.
    let words = [concat!("#[ig", "nore"), concat!("allow(clippy::to", "do")];
    for path in files(".rs") {
        let text = fs::read_to_string(&path).unwrap();
        let found = words.iter().filter(|word| text.contains(**word));
        faults.extend(found.map(|word| format!("{}: {word}", shown(&path))));
    }
    report("skipped or unfinished", &faults);
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    // Spelled apart, so that this file does not find itself.
    let words = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
    ];
    let mut faults = vec![];
    for extension in [
        ".rs", ".toml", ".md", ".json", ".ini", ".sql", ".html", "run",
    ] {
        for path in files(extension) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for (n, line) in text.lines().enumerate() {
                if words.iter().any(|word| line.contains(*word)) {
                    faults.push(format!("{}:{}: {}", shown(&path), n + 1, line.trim()));
                }
            }
        }
    }
    report("machine paths", &faults);
}
