//! include/bmemc.h is what cbindgen makes of src/ffi, chapter by chapter; it compiles as every C and C++ that it
//! promises; and the shared library exports what it declares and nothing else. `BLESS=1` writes the header anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The committed header; written anew first where `BLESS` is set.
fn header() -> String {
    static BLESSED: Once = Once::new();
    let path = Path::new(ROOT).join("include/bmemc.h");
    if std::env::var_os("BLESS").is_some() {
        BLESSED.call_once(|| std::fs::write(&path, made()).unwrap());
    }
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The text of a module's `//!` lines, as C comments.
fn introduction(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("//{line}\n")).collect()
}

/// The names of the types that a module defines for C; cbindgen leaves out those that no function of the module uses.
fn types(source: &str) -> Vec<String> {
    let kinds = ["pub struct ", "pub enum ", "pub type "];
    let definition = |line: &str| kinds.iter().find_map(|kind| line.strip_prefix(kind).map(str::to_string));
    let name = |rest: String| rest.split(|ch: char| !ch.is_alphanumeric() && ch != '_').next().map(str::to_string);
    let names = source.lines().filter_map(definition).filter_map(name);
    names.filter(|name| name.starts_with("bmemc_")).collect()
}

/// A module of src/ffi as a chapter of the header, or nothing where it has nothing for C.
fn chapter(number: usize, module: &str) -> Option<String> {
    let path = Path::new(ROOT).join(format!("src/ffi/{module}.rs"));
    let source = std::fs::read_to_string(&path).unwrap();
    let include = types(&source);
    if include.is_empty() && !source.contains("#[no_mangle]") {
        return None;
    }
    let mut config = cbindgen::Config::from_file(Path::new(ROOT).join("cbindgen.toml")).unwrap();
    config.export.include = include;
    let mut made = Vec::new();
    cbindgen::Builder::new().with_config(config).with_src(&path).generate().unwrap().write(&mut made);
    let body = String::from_utf8(made).unwrap();
    let line = "=".repeat(96);
    Some(format!("// {line}\n// Chapter {number}\n{}// {line}\n\n{}\n", introduction(&source), body.trim()))
}

/// The header as it should be: `mod.rs` opens it, and its `mod` lines are its chapters.
fn made() -> String {
    let modules = std::fs::read_to_string(Path::new(ROOT).join("src/ffi/mod.rs")).unwrap();
    let mut chapters = Vec::new();
    for module in modules.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')) {
        chapters.extend(chapter(chapters.len() + 1, module));
    }
    let version = [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ];
    let version: String = version.map(|(part, number)| format!("#define BMEMC_VERSION_{part} {number}\n")).concat();
    format!(
        "{}//\n// Made from src/ffi (tests/header.rs); do not edit.\n\n#ifndef BMEMC_H\n#define BMEMC_H\n\n\
         #include <stddef.h>\n#include <stdint.h>\n\n\
         // The version of this header; bmemc_version() is that of the library that is running.\n{version}\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{}\n#ifdef __cplusplus\n}}\n#endif\n\n#endif // BMEMC_H\n",
        introduction(&modules),
        chapters.join("\n")
    )
}

#[test]
fn header_is_current() {
    assert!(header() == made(), "include/bmemc.h is not what src/ffi says; run BLESS=1 cargo test --test header");
}

#[test]
fn header_compiles_alone_and_twice_as_every_standard() {
    assert!(!header().is_empty());
    let folder = tempdir();
    let (alone, twice) =
        ("#include <bmemc.h>\n", "#include <bmemc.h>\n#include <bmemc.h>\nint bmemc_h_is_no_empty_unit;\n");
    let compilers =
        [("gcc", "clang", "c", ["c99", "c11", "c17"]), ("g++", "clang++", "cc", ["c++11", "c++17", "c++20"])];
    for (gnu, llvm, suffix, standards) in compilers {
        for compiler in [gnu, llvm].into_iter().filter(|compiler| *compiler == gnu || is_there(compiler)) {
            for (name, text) in [("alone", alone), ("twice", twice)] {
                let file = folder.join(format!("{name}.{suffix}"));
                std::fs::write(&file, text).unwrap();
                for standard in standards {
                    let strict =
                        [&format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];
                    let include = format!("-I{ROOT}/include");
                    let output = Command::new(compiler).args(strict).arg(include).arg(&file).output().unwrap();
                    let words = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{compiler} -std={standard}, {name}:\n{words}");
                }
            }
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let text = header();
    let code = text.lines().filter(|line| !line.starts_with("//") && !line.starts_with([' ', '#', '}']));
    let declared = code.filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        let name = before.rsplit([' ', '*']).next()?;
        name.starts_with("bmemc_").then(|| name.to_string())
    });
    let declared: BTreeSet<String> = declared.collect();
    assert!(declared.len() > 30, "only {declared:?} were found in the header");
    declared
}

#[test]
fn every_function_meets_null_in_the_tests_in_c() {
    let tests = std::fs::read_to_string(Path::new(ROOT).join("tests/c/every.c")).unwrap();
    let missing: Vec<String> = declared().into_iter().filter(|name| !tests.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "tests/c/every.c does not call {missing:?}");
}

#[test]
fn library_exports_what_the_header_declares_and_nothing_else() {
    let declared = declared();
    let output = Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(library()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let exported = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<String> =
        exported.lines().filter_map(|line| line.split(' ').next()).map(String::from).collect();
    assert_eq!(declared, exported);
}

/// The shared library that cargo built together with this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let found = [folder, folder.parent().unwrap()].map(|folder| folder.join("libbmemc.so"));
    found.into_iter().find(|path| path.exists()).expect("libbmemc.so beside the test")
}

fn is_there(compiler: &str) -> bool {
    Command::new(compiler).arg("--version").output().is_ok()
}

fn tempdir() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bmemc-header-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
