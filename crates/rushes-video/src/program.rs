//! The program `ffmpeg`, fed through a pipe: for programs that do not link its libraries.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::EncoderFailure;
use crate::backend::{Backend, Settings};
use crate::ffmpeg_options::options;
use crate::yuv::Picture;

/// A running `ffmpeg` that takes pictures from its standard input.
struct Program {
    child: Child,
    /// What it says of itself, which is errors only.
    said: File,
    picture: Picture,
}

/// Whether a program `ffmpeg` is there and its encoder `name` works; found out once, in a tenth of a second.
pub(crate) fn works(name: &'static str) -> bool {
    static KNOWN: Mutex<Option<HashMap<&str, bool>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *known.get_or_insert_default().entry(name).or_insert_with(|| {
        let trial = Settings::TRIAL;
        let picture = vec![0; (trial.width * trial.height * 4) as usize];
        start(name, &["-f", "null", "-"], &trial).is_ok_and(|mut program| {
            program.push(&picture).and_then(|()| Box::new(program).finish()).is_ok()
        })
    })
}

/// Starts a film at `path` with the encoder `name`.
pub(crate) fn open(
    name: &str,
    path: &Path,
    settings: &Settings,
) -> Result<Box<dyn Backend>, EncoderFailure> {
    let url = crate::url(path)?;
    let to = ["-movflags", "+faststart", "-f", "mp4", "-y", &url];
    let program = start(name, &to, settings).map_err(EncoderFailure::new)?;
    Ok(Box::new(program))
}

fn start(name: &str, to: &[&str], settings: &Settings) -> io::Result<Program> {
    let &Settings { width, height, fps, .. } = settings;
    let (size, fps) = (format!("{width}x{height}"), fps.to_string());
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
    command.args(["-s", &size, "-r", &fps, "-i", "pipe:0", "-c:v", name, "-threads", "1"]);
    command.args(["-g", &fps, "-bf", "0", "-colorspace", "smpte170m", "-color_range", "tv"]);
    command.args(["-color_primaries", "bt709", "-color_trc", "iec61966-2-1"]);
    for (key, value) in options(name, settings) {
        command.args([format!("-{key}"), value]);
    }
    let said = tempfile::tempfile()?;
    // In a group of its own: a Ctrl-C meant for the run would end the film early.
    command.args(to).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    let child = command.stderr(said.try_clone()?).spawn()?;
    Ok(Program { child, said, picture: Picture::new(width as usize, height as usize) })
}

impl Backend for Program {
    fn push(&mut self, rgba: &[u8]) -> Result<(), EncoderFailure> {
        self.picture.convert(rgba);
        let input = self.child.stdin.as_mut().expect("open until the film is finished");
        match input.write_all(self.picture.bytes()) {
            Ok(()) => Ok(()),
            // It has ended, and said why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.end(),
            Err(error) => Err(EncoderFailure::new(error)),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), EncoderFailure> {
        self.end()
    }
}

impl Program {
    /// Closes its input and waits for it.
    fn end(&mut self) -> Result<(), EncoderFailure> {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(EncoderFailure::new)?;
        if status.success() {
            return Ok(());
        }
        let mut said = String::new();
        let read = self.said.rewind().and_then(|()| self.said.read_to_string(&mut said));
        let reason = match read {
            Ok(_) if !said.trim().is_empty() => said.trim().replace('\n', "; "),
            _ => status.to_string(),
        };
        Err(EncoderFailure::new(format_args!("ffmpeg: {reason}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing to do where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{VideoFacts, probe_file};

    /// Films come from it only in programs without FFmpeg's libraries.
    #[test]
    fn the_program_writes_a_film_where_there_is_one() {
        if !works("libx264") {
            return eprintln!("skipped: no program ffmpeg with libx264");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.mp4");
        let settings = Settings { width: 64, height: 48, fps: 30, quality: 20 };
        let mut film = open("libx264", &path, &settings).unwrap();
        for shade in 0..60 {
            film.push(&[shade; 64 * 48 * 4]).unwrap();
        }
        film.finish().unwrap();
        let facts = probe_file(&path).unwrap();
        let codec = "h264".to_owned();
        let expected =
            VideoFacts { codec, width: 64, height: 48, frames: 60, duration: 2.0, faststart: true };
        assert_eq!(facts, expected);
    }

    #[test]
    fn what_the_program_says_is_the_error() {
        if !works("libx264") {
            return eprintln!("skipped: no program ffmpeg with libx264");
        }
        let path = Path::new("/nowhere/film.mp4");
        let mut film = open("libx264", path, &Settings::TRIAL).unwrap();
        let picture = [0; 64 * 64 * 4];
        let failed = (0..1000).find_map(|_| film.push(&picture).err());
        let error = failed.map_or_else(|| film.finish(), Err).unwrap_err().to_string();
        assert!(error.contains("No such file or directory"), "{error}");
    }

    #[test]
    fn an_unknown_encoder_does_not_work() {
        assert!(!works("libnothing"));
    }
}
