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
    let port = chain.gateway.port();
    let foreword = programs.join("foreword");
    let (foreword, cat) = (foreword.display(), programs.join("ppcurlcat"));
    let (cat, file) = (cat.display(), chain.file.display());
    format!(
        "\
Try it, from another terminal.

Straight to the gateway, past the balancer: curl begins with TLS where a header
is due, and fails. The reason appears below.

  curl -k -I https://localhost:{port}/

With the header:

  {cat} https://localhost:{port}/ | head -1

/admin from outside is 403, from the office 200, whatever the spelling:

  {foreword} get -k -i --source {CLIENT} https://localhost:{port}/admin
  {foreword} get -k -i --source {CLIENT} https://localhost:{port}/x/..//%61dmin
  {foreword} get -k -i --source {OFFICE} https://localhost:{port}/admin

Why is that so?

  {foreword} why -c {file} \\
      --listener web --peer 127.0.0.1 --client {CLIENT} \\
      https://localhost:{port}/admin

Through the balancer, as yourself:

  curl -k https://localhost:{balancer}/

What the gateway has to say from now on; Ctrl-C ends the demo:

",
        balancer = chain.balancer.port(),
    )
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
