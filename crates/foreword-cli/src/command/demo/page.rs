//! What the demo says, in 80 columns.

use std::fmt::Write as _;
use std::path::Path;

use super::chain::Chain;

/// Whom the demo's own request is made for.
pub(super) const CLIENT: &str = "203.0.113.7";

/// An address of the office, in the gateway's list.
const OFFICE: &str = "198.51.100.9";

/// The picture of the chain.
pub(super) fn picture(chain: &Chain) -> String {
    let (balancer, gateway, app) = (chain.balancer, chain.gateway, chain.app);
    format!(
        "\
foreword demo: the whole chain, on this machine.

  client ───▶ balancer ─────────▶ gateway ──────────▶ web app
              adds the PROXY      TLS, rules, log     never heard
              header, v2                              of PROXY
              {balancer:<19} {gateway:<19} {app}

"
    )
}

/// The request that the demo is about to make.
pub(super) fn request(url: &str) -> String {
    format!("One request, as client {CLIENT}:\n\n  GET {url}\n\n")
}

/// The answer as it came, set in.
pub(super) fn answer(text: &str) -> String {
    set_in(text)
}

/// A line of the gateway's access log.
pub(super) fn log_line(line: &str) -> String {
    format!("The gateway's access log has the client, not the balancer:\n\n  {line}\n\n")
}

/// Commands to copy while the demo stays up.
pub(super) fn try_it(chain: &Chain, programs: &Path) -> String {
    let foreword = quoted(&programs.join("foreword"));
    let cat = quoted(&programs.join("ppcurlcat"));
    let gateway = format!("https://localhost:{}/", chain.gateway.port());
    let (admin, file) = (format!("{gateway}admin"), quoted(&chain.file));
    let outside = ["get", "-k", "-i", "--source", CLIENT];
    let office = ["get", "-k", "-i", "--source", OFFICE];
    let why = ["why", "-c", &file, "--listener", "web", "--peer", "127.0.0.1", "--client", CLIENT];
    format!(
        "\
Try it, from another terminal.

Straight to the gateway, past the balancer: curl begins with TLS where a header
is due, and fails. The reason appears below.

{bare}

With the header:

{cat}

/admin from outside is 403, from the office 200, whatever the spelling:

{from_outside}
{spelled_otherwise}
{from_the_office}

Why is that so?

{why}

Through the balancer, as yourself:

{through}

What the gateway has to say from now on; Ctrl-C ends the demo:

",
        bare = command("curl", &["-k", "-I"], &gateway),
        cat = command(&cat, &[], &format!("{gateway} | head -1")),
        from_outside = command(&foreword, &outside, &admin),
        spelled_otherwise = command(&foreword, &outside, &format!("{gateway}x/..//%61dmin")),
        from_the_office = command(&foreword, &office, &admin),
        why = command(&foreword, &why, &admin),
        through = command("curl", &["-k"], &format!("https://localhost:{}/", chain.balancer.port())),
    )
}

/// A command as it can be copied into a shell, on as many lines of 80 columns as it takes.
fn command(program: &str, flags: &[&str], url: &str) -> String {
    let mut text = format!("  {program}");
    let mut column = text.len();
    for word in flags.iter().copied().chain([url]) {
        // Room for the backslash that may have to follow.
        if column + 1 + word.len() > 80 - 2 {
            text.push_str(" \\\n     ");
            column = 5;
        }
        text.push(' ');
        text.push_str(word);
        column += 1 + word.len();
    }
    text
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+,@%".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn set_in(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let margin = if line.is_empty() { "" } else { "  " };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{margin}{line}");
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_stays_one_word() {
        assert_eq!(quoted(Path::new("/tmp/demo-1/gateway.toml")), "/tmp/demo-1/gateway.toml");
        assert_eq!(quoted(Path::new("/tmp/Bob's files/x")), r"'/tmp/Bob'\''s files/x'");
    }

    #[test]
    fn a_long_command_goes_on_in_the_next_line_and_stays_one_command() {
        let text = command(&"p".repeat(60), &["--source", CLIENT], "https://localhost:65535/admin");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let joined = text.replace("\\\n", "");
        let words: Vec<&str> = joined.split_whitespace().skip(1).collect();
        assert_eq!(words, ["--source", CLIENT, "https://localhost:65535/admin"]);
    }
}
