//! Writes the seeds to `fuzz/corpus`: `cargo run -p relive-fuzz-targets --bin seeds`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (target, _) in relive_fuzz_targets::TARGETS {
        let corpus = corpora.join(target);
        fs::create_dir_all(&corpus)?;
        for (name, seed) in relive_fuzz_targets::seeds::of(target) {
            fs::write(corpus.join(name), seed)?;
        }
    }
    Ok(())
}
