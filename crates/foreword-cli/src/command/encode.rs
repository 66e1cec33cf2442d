//! `foreword encode`: a header from flags.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use foreword_client::introduction::IntroductionError;

use crate::args::{HeaderArgs, hex};
use crate::output::{Exit, Failure};

/// Writes a PROXY header to standard output, as bytes or as hex.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    header: HeaderArgs,

    /// Say that the client came by datagrams, as over UDP (v2 only)
    #[arg(long, help_heading = "Header")]
    datagram: bool,

    /// Write hex digits and a line end instead of the bytes themselves
    #[arg(long)]
    hex: bool,
}

pub(crate) fn run(args: &EncodeArgs) -> Result<Exit, Failure> {
    let bytes = header(args)?;
    let mut stdout = io::stdout().lock();
    if args.hex {
        writeln!(stdout, "{}", hex::text(&bytes)).map_err(Failure::write)?;
    } else if stdout.is_terminal()
        && bytes.iter().any(|byte| !byte.is_ascii_graphic() && !b" \r\n".contains(byte))
    {
        let error = "expected standard output to be a file or a pipe: a terminal cannot show a binary header";
        return Err(Failure::new(Exit::NOT_ASKED, error).hint("add --hex, or pipe it into `foreword decode`"));
    } else {
        stdout.write_all(&bytes).map_err(Failure::write)?;
    }
    stdout.flush().map_err(Failure::write)?;
    Ok(Exit::DONE)
}

fn header(args: &EncodeArgs) -> Result<Vec<u8>, Failure> {
    let wrong = |error| Failure::new(Exit::NOT_ASKED, error);
    let flags = HeaderArgs { datagram: args.datagram, ..args.header.clone() };
    let introduction = flags.introduction().map_err(|error| Failure::new(Exit::NOT_ASKED, error))?;
    let Some(introduction) = introduction else {
        return Err(Failure::new(Exit::NOT_ASKED, "expected `--header v1` or `--header v2`, found `none`"));
    };
    introduction.encode(None).map_err(|error| match error {
        IntroductionError::NoAddress { side } => {
            let hint =
                format!("give --{side} IP:PORT, or --unknown or --local for a header without addresses");
            wrong(error).hint(hint)
        }
        error => wrong(error),
    })
}

const EXAMPLES: &str = "\
Examples:
  A line of text, and its parts:
    foreword encode --source 192.0.2.10:56324 --destination 198.51.100.20:443 | foreword decode
  A binary header with TLVs, as hex:
    foreword encode --hex --header v2 --source 192.0.2.10:56324 --destination 198.51.100.20:443 \\
      --tlv authority=www.example.com --tlv 0xE4=hex:0102 --crc32c
  What a health check sends, in front of a request:
    { foreword encode --local; printf 'GET / HTTP/1.0\\r\\n\\r\\n'; } | nc 127.0.0.1 8080";
