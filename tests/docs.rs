//! docs/options.md is what the option table says. `BLESS=1` writes it anew.

use bmemc::{Profile, TABLE};
use std::path::Path;

fn made() -> String {
    let mut text = String::from(
        "# Options\n\n\
         How a client is to be. Options are set by name, with values written as in a configuration file:\n\n\
         ```c\n\
         bmemc_options_set(options, name, value, &error); // name and value are bmemc_bytes\n\
         ```\n\n\
         ```rust\n\
         options.set(\"timeout_ms\", \"500\")?;\n\
         ```\n\n\
         A name that is not here, or a value that is not accepted, is an error that says what there is. The last value set\n\
         counts, and wins over a profile; where a profile's column is empty, it has the default. A client keeps the options that\n\
         it was made with. `bmemc_option_at` lists this table to programs.\n\n\
         | option | default | profile=bmemcached | profile=pymemcache | accepts | what it does |\n|---|---|---|---|---|---|\n",
    );
    for spec in TABLE {
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let in_profile = |profile| match spec.of_profile(profile) {
            same if same == spec.default => String::new(),
            other => code(other),
        };
        let (bmemcached, pymemcache) = (in_profile(Profile::Bmemcached), in_profile(Profile::Pymemcache));
        let row =
            [code(spec.name), code(spec.default), bmemcached, pymemcache, spec.kind.accepts(), spec.about.to_string()];
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text.push_str(
        "\nMade from the table in `src/client/options/table.rs` (`BLESS=1 cargo test --test docs`); do not edit.\n",
    );
    text
}

#[test]
fn options_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/options.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, made()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made(), "docs/options.md is not what the table says; run BLESS=1 cargo test --test docs");
}
