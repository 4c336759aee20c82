//! How long a newcomer waits for a build, with all sources already downloaded.

use std::process::Command;
use std::time::Instant;

use crate::report::Report;
use crate::stats::count;

pub(crate) fn measure(report: &mut Report) {
    let directory = tempfile::tempdir().expect("a directory");
    let about =
        "`cargo build --release` into an empty directory, and again when only this program's own crate has changed.";
    report.table("The build", about, &["", "measured"]);
    let cargo = |arguments: &[&str]| {
        let began = Instant::now();
        let mut command = Command::new("cargo");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).arg("--target-dir").arg(directory.path());
        let output = command.args(["--release", "--locked", "--offline"]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        began.elapsed().as_secs_f64()
    };
    let everything = cargo(&["build"]);
    let program = directory.path().join("release/tenantry");
    let size = std::fs::metadata(&program).expect("a program").len();
    cargo(&["clean", "--package", "tenantry"]);
    let own = cargo(&["build"]);
    report.row(&["everything, s".to_owned(), format!("{everything:.0}")]);
    report.row(&["its own crate, s".to_owned(), format!("{own:.0}")]);
    let size = count(usize::try_from(size).expect("64 bits")) / f64::from(1 << 20);
    report.row(&["size of the program, MiB".to_owned(), format!("{size:.0}")]);
}
