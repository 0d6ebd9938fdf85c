//! The examples do what they show, on a second run too.

use std::process::Command;

/// The output of each of `runs` runs of an example in one temporary directory.
fn run(example: &str, runs: usize) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let run = |_| {
        let output = program(example).env("TMPDIR", directory.path()).output().unwrap();
        let (printed, errors) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{example}: {printed}{errors}");
        printed
    };
    (0..runs).map(run).collect()
}

/// The example as cargo built it together with this test; if cargo built only this test, a command
/// that builds and runs the example.
fn program(example: &str) -> Command {
    let beside = std::env::current_exe().unwrap().parent().unwrap().join("../examples").join(example);
    if beside.exists() {
        return Command::new(beside);
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", example]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

#[test]
fn a_counter_goes_on() {
    assert_eq!(run("counter", 3), ["visited 1 times\n", "visited 2 times\n", "visited 3 times\n"]);
}

#[test]
fn a_transfer_arrives_once() {
    let printed = run("transfer", 2);
    assert_eq!(printed[0], "transferred: true\nalice has 0\nbob has 10\n");
    assert_eq!(printed[1], "transferred: true\nalice has 0\nbob has 20\n");
}

#[test]
fn a_charge_is_not_repeated() {
    let printed = run("charge", 1).remove(0);
    assert_eq!(printed.matches("charging 500 cents under the key").count(), 1, "{printed}");
    assert!(printed.ends_with("relived 1 deliveries\n"), "{printed}");
}

#[test]
fn an_import_that_begins_anew_counts_once() {
    let printed = run("import", 2);
    assert!(printed[0].contains("the account has 825 cents"), "{}", printed[0]);
    assert!(printed[0].ends_with("the account has 842 cents\n"), "{}", printed[0]);
    let again = "the last line: Duplicate\nthe account has 842 cents\n";
    assert_eq!(printed[1], format!("{again}{again}"));
}
