//! The embedded server as a program: `bmemc-server -p 11211`. Its options are memcached's, as far as the server has what
//! they ask for. It prints where it listens, and runs until SIGINT or SIGTERM.

use bmemc::server::{Auth, Config, Protocol, Server, User};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
usage: bmemc-server [options]
A memcached for tests: all of text, meta and binary, in one thread.

  -p, --port=NUM            TCP port; 0 lets the system choose (default: 11211)
  -s, --unix-socket=PATH    listen on a Unix socket instead of TCP
  -l, --listen=ADDRESS      address or name to listen on (default: 127.0.0.1)
  -m, --memory-limit=NUM    memory for items, in MiB (default: 64)
  -M, --disable-evictions   refuse when full, instead of evicting
  -c, --conn-limit=NUM      connections at a time (default: 1024)
  -I, --max-item-size=SIZE  largest item, as in 1024, 512k or 2m: 1k to 1024m (default: 1m)
  -C, --disable-cas         items have no cas
  -F, --disable-flush-all   flush_all is refused
  -B, --protocol=NAME       auto, ascii or binary (default: auto)
  -A, --enable-shutdown     the shutdown command works
  -S, --enable-sasl         users of the file that MEMCACHED_SASL_PWDB names log in by SASL
  -Y, --auth-file=FILE      users of this file log in over the text protocol
                            (both: a line name:password for each)
  -o, --extended=OPTIONS    idle_timeout=SECONDS: idle connections are closed
  -v, --verbose             connections on stderr; -vv: commands too
  -t, --threads=NUM         accepted, and ignored: there is one
  -U, --udp-port=0          accepted: there is no UDP
  -u, --user=NAME           accepted, and ignored: it runs as whoever started it
  -V, --version             print the version and end
  -h, --help                print this and end
";

/// The short and long names of the options, and whether they take a value.
const OPTIONS: &[(char, &str, bool)] = &[
    ('p', "port", true),
    ('s', "unix-socket", true),
    ('l', "listen", true),
    ('m', "memory-limit", true),
    ('M', "disable-evictions", false),
    ('c', "conn-limit", true),
    ('I', "max-item-size", true),
    ('C', "disable-cas", false),
    ('F', "disable-flush-all", false),
    ('B', "protocol", true),
    ('A', "enable-shutdown", false),
    ('S', "enable-sasl", false),
    ('Y', "auth-file", true),
    ('o', "extended", true),
    ('v', "verbose", false),
    ('t', "threads", true),
    ('U', "udp-port", true),
    ('u', "user", true),
    ('V', "version", false),
    ('h', "help", false),
];

fn main() -> ExitCode {
    let options = match split(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(why) => return usage(&why),
    };
    if options.iter().any(|(letter, _)| *letter == 'h') {
        return print(HELP);
    }
    if options.iter().any(|(letter, _)| *letter == 'V') {
        return print(&format!("bmemc-server {}\n", bmemc::VERSION));
    }
    match configure(&options) {
        Ok(config) => serve(config),
        Err(why) => usage(&why),
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("bmemc-server: {why}\nbmemc-server: -h lists the options");
    ExitCode::from(2)
}

fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Cuts the arguments into options with their values, as getopt does: `-p1`, `-p 1`, `-vv`, `--port=1`, `--port 1`.
fn split(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Vec<(char, String)>, String> {
    let mut options = Vec::new();
    let mut arguments = arguments.map(|argument| argument.into_string().map_err(|bad| format!("{bad:?} is not UTF-8")));
    while let Some(argument) = arguments.next() {
        let argument = argument?;
        if let Some(long) = argument.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_string())));
            let known = OPTIONS.iter().find(|option| option.1 == name);
            let (letter, _, takes) = *known.ok_or_else(|| format!("{argument:?} is not an option"))?;
            let value = match (takes, value) {
                (true, Some(value)) => value,
                (true, None) => arguments.next().ok_or_else(|| format!("--{name} needs a value"))??,
                (false, None) => String::new(),
                (false, Some(value)) => return Err(format!("--{name} takes no value, and {value:?} was given")),
            };
            options.push((letter, value));
            continue;
        }
        let letters = argument.strip_prefix('-').filter(|letters| !letters.is_empty());
        let mut letters = letters.ok_or_else(|| format!("{argument:?} is not an option"))?.chars();
        while let Some(letter) = letters.next() {
            let known = OPTIONS.iter().find(|option| option.0 == letter);
            let (_, _, takes) = *known.ok_or_else(|| format!("-{letter} in {argument:?} is not an option"))?;
            let rest = letters.as_str();
            let value = match (takes, rest) {
                (false, _) => String::new(),
                (true, "") => arguments.next().ok_or_else(|| format!("-{letter} needs a value"))??,
                (true, rest) => rest.to_string(),
            };
            options.push((letter, value));
            if takes {
                break;
            }
        }
    }
    Ok(options)
}

fn configure(options: &[(char, String)]) -> Result<Config, String> {
    let mut config = Config { port: 11211, ..Config::default() };
    for (letter, value) in options {
        match letter {
            'p' => config.port = number("-p", value, 0, 65535)? as u16,
            's' => config.unix = Some(absolute(value)?),
            'l' => config.listen = value.clone(),
            'm' => config.memory_limit = (number("-m", value, 1, 1 << 30)? as usize) << 20,
            'M' => config.evict = false,
            'c' => config.max_connections = number("-c", value, 1, 1 << 20)? as usize,
            'I' => config.item_max = item_size(value)?,
            'C' => config.cas = false,
            'F' => config.flush = false,
            'B' => config.protocol = protocol(value)?,
            'A' => config.shutdown = true,
            'S' => {
                let file = std::env::var("MEMCACHED_SASL_PWDB").map_err(|_| "-S: MEMCACHED_SASL_PWDB is not set")?;
                (config.auth, config.users) = (Auth::Sasl, users("MEMCACHED_SASL_PWDB", &file)?);
            }
            'Y' => (config.auth, config.users) = (Auth::Ascii, users("-Y", value)?),
            'o' => config.idle_timeout = extended(value)?,
            'v' => config.verbose += 1,
            't' => drop(number("-t", value, 1, 1 << 16)?),
            'U' => drop(number("-U", value, 0, 0)?),
            _ => {}
        }
    }
    Ok(config)
}

fn users(option: &str, file: &str) -> Result<Vec<User>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{option} {file:?} cannot be read: {error}"))?;
    User::list(&text).map_err(|error| format!("{option} {file:?}: {error}"))
}

fn extended(value: &str) -> Result<u64, String> {
    let seconds = value.strip_prefix("idle_timeout=").and_then(|seconds| seconds.parse().ok());
    seconds.ok_or_else(|| format!("-o {value:?} is not idle_timeout=SECONDS"))
}

fn number(option: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    let accepted = || match least == most {
        true => format!("{option} {value:?} is not {least}, the only value that is accepted"),
        false => format!("{option} {value:?} is not a number from {least} to {most}"),
    };
    value.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(accepted)
}

fn item_size(value: &str) -> Result<usize, String> {
    let (digits, unit) = match value.to_ascii_lowercase().strip_suffix(['k', 'm']) {
        Some(digits) if value.ends_with(['k', 'K']) => (digits.to_string(), 1 << 10),
        Some(digits) => (digits.to_string(), 1 << 20),
        None => (value.to_string(), 1),
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    let accepted = size.filter(|size| (1 << 10..=1 << 30).contains(size));
    accepted.ok_or_else(|| format!("-I {value:?} is not a size from 1k to 1024m, as in 1024, 512k or 2m"))
}

fn protocol(value: &str) -> Result<Protocol, String> {
    match value {
        "auto" => Ok(Protocol::Auto),
        "ascii" => Ok(Protocol::Ascii),
        "binary" => Ok(Protocol::Binary),
        _ => Err(format!("-B {value:?} is not auto, ascii or binary")),
    }
}

fn absolute(value: &str) -> Result<std::path::PathBuf, String> {
    std::path::absolute(value).map_err(|error| format!("-s {value:?} is not the path of a socket: {error}"))
}

fn serve(config: Config) -> ExitCode {
    // Before any thread starts, so that the signal waits for the one that asks for it.
    bmemc::net::signal::block_all();
    let mut server = match Server::start(config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("bmemc-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut out = std::io::stdout();
    let line = format!("listening on {}\n", server.address());
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        eprintln!("bmemc-server: nobody reads where it listens: stdout is closed");
    }
    wait_for_the_end(&server);
    server.stop();
    ExitCode::SUCCESS
}

/// A signal, or the `shutdown` command.
fn wait_for_the_end(server: &Server) {
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(bmemc::net::signal::wait_for_termination()));
    while server.is_running() {
        if let Ok(_signal) = ended.recv_timeout(Duration::from_millis(100)) {
            return;
        }
    }
}
