//! `--data` and its kin: what is posted, in the order in which it was given.

use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// What is posted, piece by piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct DataArgs(pub(super) Vec<Piece>);

/// One of the flags, with its text.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) form: Form,
    pub(super) text: String,
}

/// How the text of a piece becomes bytes, and what stands between it and the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `@FILE` without its line ends.
    Joined,
    /// `@FILE` as it is.
    Binary,
    /// The text itself.
    Raw,
    /// `@FILE` as it is, right behind the piece before.
    Json,
}

/// The flags as they are parsed; only their places on the command line tell which came first.
#[derive(Debug, Clone, Args)]
struct DataFlags {
    /// Send this with POST, repeatable; `@FILE` reads it from a file without its line ends, `@-` from standard input
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true)]
    data: Vec<String>,

    /// Like --data, but a file is sent as it is
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    data_binary: Vec<String>,

    /// Like --data, but `@` has no meaning
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    data_raw: Vec<String>,

    /// Send this as JSON, and ask for JSON; what came before is gone on with
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    json: Vec<String>,
}

impl Args for DataArgs {
    fn augment_args(command: Command) -> Command {
        DataFlags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        DataFlags::augment_args_for_update(command)
    }
}

impl FromArgMatches for DataArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let DataFlags { data, data_binary, data_raw, json } = DataFlags::from_arg_matches(matches)?;
        let given = [
            ("data", Form::Joined, data),
            ("data_binary", Form::Binary, data_binary),
            ("data_raw", Form::Raw, data_raw),
            ("json", Form::Json, json),
        ];
        let mut pieces = Vec::new();
        for (name, form, texts) in given {
            let places = matches.indices_of(name).into_iter().flatten();
            pieces.extend(places.zip(texts).map(|(place, text)| (place, Piece { form, text })));
        }
        pieces.sort_by_key(|(place, _)| *place);
        Ok(Self(pieces.into_iter().map(|(_, piece)| piece).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
