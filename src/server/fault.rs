//! Faults: what a test can have the server do wrong on purpose. A fault hits whole commands, chosen by their name and
//! their number; what it does to their replies is the connection's business.

use crate::error::{Error, Result};
use std::time::Duration;

/// What is wrong with the replies of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Harm {
    /// They come late; so does all that follows on this connection.
    Delay(Duration),
    /// The connection ends instead.
    Close,
    /// They never come, nor does anything else on this connection.
    Stall,
    /// In their place come bytes that no protocol has.
    Garbage,
    /// In their place comes this line, or in binary a frame of status 0x84 with these words.
    Error(String),
}

/// A fault, and which commands it hits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub harm: Harm,
    /// The name of a command, as in the text and meta protocol; `None`: any.
    command: Option<String>,
    /// So many are let be first, and so many are hit then.
    skip: u64,
    count: u64,
}

const ACCEPTED: &str =
    "[command=NAME] [skip=N] [count=N] and one of delay=MILLISECONDS, close, stall, garbage, error=LINE";

/// What garbage is made of.
pub const GARBAGE: &[u8] = b"\x7f\x00 this is garbage \xff\r\n";

impl Fault {
    /// Reads a fault; empty: none.
    pub fn parse(text: &str) -> Result<Option<Fault>> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let fault = parse(text).ok_or_else(|| Error::argument(format!("fault {text:?} is not {ACCEPTED}")))?;
        Ok(Some(fault))
    }

    /// Whether it hits this command. Each question counts.
    pub fn hits(&mut self, command: &str) -> bool {
        if self.command.as_ref().is_some_and(|only| only != command) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let hit = self.count > 0;
        self.count = self.count.saturating_sub(1);
        hit
    }
}

fn parse(text: &str) -> Option<Fault> {
    let mut fault = Fault { harm: Harm::Close, command: None, skip: 0, count: u64::MAX };
    let mut rest = text.trim_start();
    loop {
        // The words of an error go to the end of the text.
        if let Some(line) = rest.strip_prefix("error=") {
            let fits = !line.is_empty() && !line.contains(['\r', '\n']);
            fault.harm = Harm::Error(line.into());
            return fits.then_some(fault);
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after.trim_start();
        let harm = match word.split_once('=').unwrap_or((word, "")) {
            ("command", name) if !name.is_empty() => {
                fault.command = Some(name.into());
                None
            }
            ("skip", number) => {
                fault.skip = number.parse().ok()?;
                None
            }
            ("count", number) => {
                fault.count = number.parse().ok()?;
                None
            }
            ("delay", time) => Some(Harm::Delay(Duration::from_millis(time.parse::<u32>().ok()?.into()))),
            _ if word == "close" => Some(Harm::Close),
            _ if word == "stall" => Some(Harm::Stall),
            _ if word == "garbage" => Some(Harm::Garbage),
            _ => return None,
        };
        if let Some(harm) = harm {
            fault.harm = harm;
            return rest.is_empty().then_some(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        let fault = Fault::parse("command=get skip=1 count=2 error=SERVER_ERROR out of memory").unwrap().unwrap();
        assert_eq!(fault.harm, Harm::Error("SERVER_ERROR out of memory".into()));
        assert_eq!((fault.command.as_deref(), fault.skip, fault.count), (Some("get"), 1, 2));
        assert_eq!(Fault::parse("delay=250").unwrap().unwrap().harm, Harm::Delay(Duration::from_millis(250)));
        assert_eq!(Fault::parse(" ").unwrap(), None);
        let bad = [
            "explode",
            "count=x close",
            "close count=1",
            "delay",
            "delay=-1",
            "error=",
            "error=a\r\nb",
            "command= close",
        ];
        for text in bad {
            let error = Fault::parse(text).unwrap_err();
            assert!(error.message().contains("delay=MILLISECONDS"), "{text}: {error}");
        }
    }

    #[test]
    fn a_fault_hits_the_commands_that_it_names() {
        let mut fault = Fault::parse("command=get skip=1 count=2 close").unwrap().unwrap();
        assert!(!fault.hits("set"));
        assert_eq!(
            [fault.hits("get"), fault.hits("get"), fault.hits("get"), fault.hits("get")],
            [false, true, true, false]
        );
    }
}
