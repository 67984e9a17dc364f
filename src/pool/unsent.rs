//! Unsent: what becomes of an operation that is not sent. One that could be sent to no server fails for what is wrong with
//! itself, whatever the state of the server; any other for why it was not sent. Who sends finds that out on its way, so that
//! this is asked only where something has failed already.

use super::{Account, Settings, Shared};
use crate::connection::{Batch, Known, Style};
use crate::error::{bits, Error, Result, Status};
use crate::operation::Operation;
use crate::protocol::{Dialect, ProtocolChoice};
use crate::sync::atomic::Ordering;

impl Settings {
    /// The failure of an operation that was not sent because of `error`, to a server that speaks what is `known`. A closed
    /// client looks at nothing any more.
    #[cold]
    pub fn unsent(&self, known: Option<Dialect>, operation: &Operation<'_>, error: &Error) -> Error {
        let refusal = if error.status() == Status::Closed { None } else { self.refusal(known, operation) };
        refusal.unwrap_or_else(|| error.clone())
    }

    fn refusal(&self, known: Option<Dialect>, operation: &Operation<'_>) -> Option<Error> {
        let Settings { account, protocol, login, .. } = self;
        let dialect = known.unwrap_or_else(|| account.likely_dialect(*protocol, login.style));
        let mut nowhere = Batch::<()>::default();
        let mut written = || nowhere.writer(dialect).push(operation, 0, 0, 0);
        let refused = self.check_size(operation).and_then(|()| written()).err();
        refused.filter(|error| matches!(error.status(), Status::Argument | Status::TooLarge))
    }

    /// Refuses a value that is too large to be sent or received.
    #[inline]
    pub fn check_size(&self, operation: &Operation<'_>) -> Result<()> {
        let (len, max) = (operation.value.len() as u64, self.max_value_bytes);
        if len <= max {
            return Ok(());
        }
        let words = format!("the value has {len} bytes; max_value_bytes is {max}");
        Err(Error::new(Status::TooLarge, words).with_bits(bits::NOT_SENT))
    }
}

impl Account {
    /// What a server that was never met is taken to speak: with SASL's credentials binary, else meta, which says most.
    pub fn likely_dialect(&self, protocol: ProtocolChoice, style: Style) -> Dialect {
        let logs_in = || self.get().0.is_some() && matches!(style, Style::Auto | Style::Sasl);
        match protocol {
            ProtocolChoice::Text => Dialect::Text,
            ProtocolChoice::Meta => Dialect::Meta,
            ProtocolChoice::Binary => Dialect::Binary,
            ProtocolChoice::Auto if logs_in() => Dialect::Binary,
            ProtocolChoice::Auto => Dialect::TextMeta,
        }
    }
}

impl Shared {
    /// The failure of an operation that was not sent to this server because of `error`.
    #[cold]
    pub fn unsent(&self, operation: &Operation<'_>, error: &Error) -> Error {
        self.settings.unsent(self.known_dialect(), operation, error)
    }

    /// Why an operation could not be sent to this server, whatever its state.
    #[cold]
    pub fn refusal(&self, operation: &Operation<'_>) -> Option<Error> {
        self.settings.refusal(self.known_dialect(), operation)
    }

    /// Whether a refusal is sure: a server that was never met may speak another dialect.
    pub fn is_refusal_sure(&self) -> bool {
        self.settings.protocol != ProtocolChoice::Auto || self.known_dialect().is_some()
    }

    fn known_dialect(&self) -> Option<Dialect> {
        Known::from_number(self.known.load(Ordering::Relaxed)).dialect
    }
}
