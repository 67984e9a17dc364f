//! docs/replies.md is true: each of its rows is played by a scripted server, for a blocking call and for a queue.

mod common;

use bmemc::{Answers, Client, Command, Operation, Queue, Status};
use common::client;
use common::scripted::{frame, right, Request, Scripted, Step};

const PAGE: &str = include_str!("../docs/replies.md");

/// What stands for no reply at all.
const SILENCE: &str = "(nothing)";

struct Row {
    protocol: &'static str,
    command: Command,
    reply: &'static str,
    status: &'static str,
    kept: bool,
}

fn rows() -> Vec<Row> {
    let (mut protocol, mut rows) = ("", Vec::new());
    for line in PAGE.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            protocol = name;
        }
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [command, reply, status, kept] = cells[..] else { continue };
        let Some(command) = Command::ALL.into_iter().find(|known| known.name() == command) else { continue };
        let reply = reply.strip_prefix('`').and_then(|reply| reply.strip_suffix('`')).expect(line);
        assert!(matches!(kept, "kept" | "closed"), "{line}");
        rows.push(Row { protocol, command, reply, status, kept: kept == "kept" });
    }
    rows
}

/// The bytes of a row's reply to this request.
fn reply_to(request: &Request, row: &Row) -> Vec<u8> {
    let code = row.reply.strip_prefix("0x").filter(|_| row.protocol == "Binary");
    if let Some(rest) = code {
        let (code, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = u16::from_str_radix(code, 16).unwrap();
        let extras: &[u8] = if row.command == Command::Touch && code == 0 { &[0; 4] } else { b"" };
        return frame(request.opcode, code, request.opaque, extras, b"", words.as_bytes());
    }
    let text = row.reply.replace("\\r", "\r").replace("\\n", "\n").replace("\\|", "|");
    format!("{}\r\n", text.replace("O?", &format!("O{}", request.opaque))).into_bytes()
}

fn operation(row: &Row) -> Operation<'static> {
    let operation = Operation { delta: 1, value: b"v", ..Operation::new(row.command, b"k") };
    match row.command {
        Command::Raw => Operation { value: b"bogus", key: b"", ..operation },
        Command::Stats | Command::Shutdown | Command::Metadump => Operation { key: b"", ..operation },
        _ => operation,
    }
}

fn by_execute(client: &Client, operation: Operation<'_>) -> (Status, String) {
    let mut answers = Answers::new(1);
    client.execute(&[operation], &mut answers).unwrap();
    let answer = answers.get(0).unwrap();
    (answer.status, String::from_utf8_lossy(answer.detail).into_owned())
}

fn by_queue(client: &Client, operation: Operation<'_>) -> (Status, String) {
    let queue = Queue::new().unwrap();
    queue.submit(client, [(1, operation)]).1.unwrap();
    let mut fetched = Vec::new();
    queue.fetch(&mut fetched, 1, -1).unwrap();
    // What comes next shows whether the connection is used again.
    queue.submit(client, [(2, Operation::version())]).1.unwrap();
    queue.fetch(&mut Vec::new(), 1, -1).unwrap();
    let answer = fetched.remove(0);
    (answer.status, String::from_utf8_lossy(&answer.detail).into_owned())
}

/// The server's own words in a row's reply.
fn words(row: &Row) -> String {
    let line = row.reply.split("\\r\\n").filter(|line| !line.is_empty()).last().unwrap_or_default();
    let line = line.strip_prefix("0x").map_or(line, |rest| rest.split_once(' ').map_or("", |(_, words)| words));
    let classes = ["ERROR: ", "ERROR ", "CLIENT_ERROR ", "SERVER_ERROR: ", "SERVER_ERROR "];
    let words = classes.iter().find_map(|class| line.strip_prefix(class)).unwrap_or(line);
    words.replace("\\|", "|")
}

#[test]
fn every_reply_becomes_what_the_page_says() {
    let rows: &'static [Row] = rows().leak();
    assert!(rows.len() > 130, "only {} rows were found", rows.len());
    let mut failures = Vec::new();
    for row in rows {
        for way in ["execute", "queue"] {
            let server = Scripted::tcp(|request, reply| match (request.connection, request.number) {
                (0, 0) if row.reply == SILENCE => vec![Step::Mute],
                (0, 0) => vec![Step::Send(reply_to(request, row))],
                _ => right(request, reply),
            });
            let timeout = if row.reply == SILENCE { "300" } else { "20000" };
            let settings = [("protocol", &*row.protocol.to_lowercase()), ("connections", "1"), ("timeout_ms", timeout)];
            let client = client(server.address(), &settings);
            let (status, detail) = match way {
                "execute" => by_execute(&client, operation(row)),
                _ => by_queue(&client, operation(row)),
            };
            if way == "execute" {
                client.version().unwrap();
            }
            let kept = server.log().connections() == 1;
            let own = matches!(status, Status::Protocol | Status::Timeout);
            let says = !status.is_failure() || own || detail.contains(&words(row));
            if format!("{status:?}") != row.status || kept != row.kept || !says {
                let (name, reply, protocol) = (row.command.name(), row.reply, row.protocol);
                failures.push(format!("{protocol}, {way}: {name}: {reply}: {status:?} \"{detail}\", kept: {kept}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_message_has_the_commands_name_and_the_servers_words() {
    let server = Scripted::tcp(|_, _| vec![Step::Send(b"SERVER_ERROR out of lemons\r\n".to_vec())]);
    let client = client(server.address(), &[("protocol", "text")]);
    let messages = [
        client.set(b"k", b"v", 0, 0).unwrap_err().to_string(),
        client.increment(b"k", 1).unwrap_err().to_string(),
        client.stats(b"items").unwrap_err().to_string(),
        client.flush_all(0).unwrap_err().to_string(),
    ];
    for (message, name) in messages.iter().zip(["set", "incr", "stats \"items\"", "flush_all"]) {
        assert!(message.contains(name) && message.contains("\"out of lemons\""), "{message}");
    }
}
