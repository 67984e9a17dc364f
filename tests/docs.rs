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
         it was made with; `reconnect_delay_ms` alone can be changed while it is in use, by `bmemc_client_set_option`, and\n\
         `username` and `password` by `bmemc_client_set_credentials`. `bmemc_option_at` lists this table to programs.\n\n\
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

// ---- docs/seeds.md ----

/// The cells of a section's rows.
fn rows<'a>(page: &'a str, section: &str) -> Vec<Vec<&'a str>> {
    let begin = format!("\n## {section}\n");
    let from = page.find(&begin).map(|at| at + begin.len()).unwrap_or_else(|| panic!("no section {section}"));
    let section = page[from..].split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_name_of_the_seeds_stands_in_their_page() {
    let (page, names) = (read("docs/seeds.md"), read("tests/vectors/seeds.txt"));
    let (mut section, mut known, mut count, mut missing) = ("", Vec::new(), 0, Vec::new());
    for line in names.lines().skip(1).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("# ") {
            section = if name == "bmemcached" { "python-binary-memcached" } else { name };
            known = rows(&page, section).iter().flat_map(|row| words(row[0])).collect();
            continue;
        }
        count += 1;
        let is_module = line.starts_with(|first: char| first.is_lowercase()) && known.contains(&line);
        let last = line.rsplit('.').next().unwrap();
        if !is_module && !known.contains(&last) {
            missing.push(format!("{section}: {line}"));
        }
    }
    assert!(missing.is_empty(), "docs/seeds.md lacks {missing:#?}");
    assert_eq!(count, 217, "the list was cut");
}

/// How many tests a cell names, as "`FILE` function, function"; each must be a test, in Rust or in C.
fn named_tests(name: &str, cell: &str) -> usize {
    let (mut source, mut count) = (String::new(), 0);
    for (index, part) in cell.split('`').enumerate() {
        if index % 2 == 1 {
            source = read(part);
            continue;
        }
        for function in part.split([' ', ',']).filter(|word| !word.is_empty()) {
            let in_rust = source.contains(&format!("#[test]\nfn {function}() {{"))
                || source.contains(&format!("#[test]\n    fn {function}() {{"));
            let in_c = source.contains(&format!("RUN({function});"));
            assert!(in_rust || in_c, "{name}: no test is called {function}");
            count += 1;
        }
    }
    count
}

#[test]
fn what_the_page_of_the_seeds_names_exists() {
    let page = read("docs/seeds.md");
    let header = read("include/bmemc.h") + &read("bindings/c/bmemc_easy.h");
    for row in ["python-binary-memcached", "pymemcache"].iter().flat_map(|section| rows(&page, section)) {
        let [name, here, test] = row[..] else { panic!("not three cells: {row:?}") };
        if name.starts_with("name ") {
            continue;
        }
        for word in words(here).into_iter().filter(|word| word.to_lowercase().starts_with("bmemc_")) {
            let declared = header.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word);
            assert!(declared, "{name}: {word} is in no header");
        }
        for list in here.split("option ").skip(1).chain(here.split("options ").skip(1)) {
            let list = list.split([':', ';']).next().unwrap();
            let list: Vec<&str> = list.split(", ").take_while(|word| word.starts_with('`')).collect();
            for option in list.iter().flat_map(|word| words(word)).filter(|word| !word.starts_with("bmemc_")) {
                let option = option.split('=').next().unwrap();
                assert!(TABLE.iter().any(|spec| spec.name == option), "{name}: there is no option {option}");
            }
        }
        let named = named_tests(name, test);
        assert!(named > 0, "{name}: no test is named");
    }
}

// ---- The code in docs/ ----

/// The blocks of code of this language, with where they begin.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for page in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap() {
        let path = page.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let begin = format!("\n```{language}\n");
        for (at, _) in text.match_indices(&begin) {
            let block = text[at + begin.len()..].split("\n```").next().unwrap();
            let line = text[..at].lines().count() + 2;
            found.push((format!("{}:{line}", path.display()), block.to_string()));
        }
    }
    found
}

/// Compiles blocks behind `prelude`, each in a function with these parameters.
fn compile(language: &str, compiler: &[&str], prelude: &str, parameters: &str) {
    let blocks = blocks(language);
    assert!(!blocks.is_empty(), "no block of {language}");
    let mut source = prelude.to_string();
    for (number, (place, block)) in blocks.iter().enumerate() {
        let (file, line) = place.rsplit_once(':').unwrap();
        source += &format!("void block_{number}({parameters});\nvoid block_{number}({parameters}) {{\n{{\n");
        source += &format!("#line {} \"{file}\"\n{block}\n}}\n}}\n", line.parse::<usize>().unwrap() + 1);
    }
    let mut child = std::process::Command::new(compiler[0])
        .args(&compiler[1..])
        .args(["-fsyntax-only", "-Wall", "-Wno-unused-result", "-Werror", "-Iinclude", "-Ibindings/cpp", "-"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a block does not say itself, it has from its reader's program: `bytes` is the README's.
#[test]
fn the_c_in_the_documents_compiles() {
    let prelude = "#include <bmemc.h>\n#include <stdio.h>\n#include <string.h>\n\
        static bmemc_bytes bytes(const char *text) { return (bmemc_bytes){(const uint8_t *)text, strlen(text)}; }\n\
        static bmemc_error error;\n\
        extern bmemc_bytes username, alice, password, secret, name, value, key;\n\
        extern uint64_t hash;\nextern bmemc_ring *ring;\n\
        extern void *context;\nextern bmemc_route_callback choose;\n";
    let parameters = "bmemc_options *options, bmemc_client *client, uint32_t index";
    compile("c", &["gcc", "-std=c11", "-xc", "-Wno-unused-function"], prelude, parameters);
}

#[test]
fn the_cpp_in_the_documents_compiles() {
    compile("cpp", &["g++", "-std=c++17", "-xc++"], "#include <bmemc.hpp>\n", "bmemc::options &options");
}
