//! `foreword get`, and `ppcurlcat`: a transfer for each URL, then curl's exit code or one of ours.

mod args;
mod data;
mod report;
mod request;
mod save;
mod setup;
mod transfer;
mod watch;
mod write_out;

pub(crate) use self::args::GetArgs;
use self::report::Ended;
use self::setup::Session;
use self::transfer::Transfers;
use crate::output::{Exit, Failure, Lack, talk};

/// What a program does with the same flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As curl does.
    Get,
    /// As in the story: heads and content as they came, certificates not verified.
    Cat,
}

/// Asks for each URL in turn. The exit code is that of the last transfer, as in curl.
pub(crate) fn run(program: &str, manner: Manner, mut args: GetArgs) -> Result<Exit, Failure> {
    if manner == Manner::Cat {
        args.answer.include = true;
        args.connection.insecure |= args.connection.cacert.is_none();
        if args.connection.insecure && !args.answer.silent {
            talk(&format!("{program}: certificates are not verified\n"));
        }
    }
    let session = Session::new(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::NOT_ASKED, Lack::Runtime(error)))?;
    let exit = runtime.block_on(async {
        let mut transfers = Transfers::new(&session);
        let mut exit = 0;
        for (index, url) in session.args.urls.iter().enumerate() {
            let Ended { exit: own, message, hint, reader_gone } = transfers.run(index, url).await;
            exit = own;
            if own != 0 {
                say(program, &session, own, message, hint);
            }
            if reader_gone || (own != 0 && session.args.answer.fail_early) {
                break;
            }
        }
        exit
    });
    // A name that is still being looked up would keep the process for as long as the resolver likes.
    runtime.shutdown_background();
    Ok(Exit::code(exit))
}

/// Says why a transfer failed, unless it is to be silent.
fn say(program: &str, session: &Session, exit: u8, message: Option<String>, hint: Option<String>) {
    let answer = &session.args.answer;
    let Some(message) = message.filter(|_| !answer.silent || answer.show_error) else { return };
    talk(&format!("{program}: ({exit}) {message}\n"));
    if let Some(hint) = hint {
        talk(&format!("hint: {hint}\n"));
    }
}
