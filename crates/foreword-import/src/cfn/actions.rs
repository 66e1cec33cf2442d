//! What a listener or a rule does with a request: `forward`, `redirect`, `fixed-response`.

use super::properties::Properties;
use super::v2::V2;
use super::value::Value as Said;
use crate::draft::Value;
use crate::fault::{Fault, shown};
use crate::parts::Mode;

/// The `then` of a rule.
pub(super) type Then = Vec<(&'static str, Value)>;

pub(super) fn read(v2: &V2<'_, '_>, actions: &[Properties<'_, '_>], mode: Mode) -> Result<Then, Fault> {
    let mut then = None;
    for action in actions {
        let kind = action.require_text("Type")?;
        action.text("Order")?;
        let one = match kind.value.as_str() {
            "forward" => forward(v2, action, mode)?,
            "redirect" => redirect(action)?,
            "fixed-response" => respond(action)?,
            kind_of if kind_of.starts_with("authenticate-") || kind_of == "jwt-validation" => {
                // Without it everyone would be let in.
                action.import.note(
                    kind.place,
                    action.path.clone(),
                    format!(
                        "{} is not done here, so what it guards is closed to everyone (403)",
                        shown(kind_of)
                    ),
                );
                return Ok(vec![("deny", 403.into())]);
            }
            other => {
                let fault = Fault::expected(kind.place, "an action that is known", shown(other));
                return Err(fault.within(&action.path));
            }
        };
        then = Some(one);
    }
    let place = actions.first().map(|action| (action.place, action.path.clone()));
    then.ok_or_else(|| match place {
        Some((place, path)) => {
            Fault::expected(place, "an action that ends the request", "none").within(&path)
        }
        None => Fault::new("expected an action, found none"),
    })
}

fn forward(v2: &V2<'_, '_>, action: &Properties<'_, '_>, mode: Mode) -> Result<Then, Fault> {
    let mut groups: Vec<(Said, u64)> = Vec::new();
    if let Some(config) = action.map("ForwardConfig")? {
        for group in config.maps("TargetGroups")? {
            let weight = group.number("Weight")?.map_or(1, |weight| weight.value);
            if let Some(arn) = group.get("TargetGroupArn") {
                groups.push((arn.clone(), weight));
            }
        }
        // Where one group gets everything, clients have nothing else to come back to.
        config.get("TargetGroupStickinessConfig");
    }
    if let Some(arn) = action.get("TargetGroupArn").filter(|_| groups.is_empty()) {
        groups.push((arn.clone(), 1));
    }
    groups.retain(|(_, weight)| *weight > 0);
    if groups.len() > 1 {
        let message = "of several target groups, the one with the greatest weight gets everything";
        action.import.note(action.place, action.path.clone(), message);
    }
    // The first of the heaviest.
    let heaviest = groups.iter().rev().max_by_key(|(_, weight)| *weight);
    let Some((arn, _)) = heaviest else {
        return Err(Fault::expected(action.place, "a target group", "none").within(&action.path));
    };
    match arn.resource().and_then(|id| v2.groups.get(id)) {
        Some(group) => Ok(vec![("forward", group.cluster(mode)?.into())]),
        None => {
            let expected = "a target group of the template that is there and good";
            Err(Fault::expected(arn.place, expected, arn.found()).within(&action.path))
        }
    }
}

fn respond(action: &Properties<'_, '_>) -> Result<Then, Fault> {
    let Some(config) = action.map("FixedResponseConfig")? else {
        return Err(Fault::expected(action.place, "`FixedResponseConfig`", "none").within(&action.path));
    };
    let status = config.number("StatusCode")?;
    let status =
        status.ok_or_else(|| Fault::expected(config.place, "`StatusCode`", "none").within(&config.path))?;
    let mut respond = vec![("status", Value::from(status.value))];
    if let Some(kind) = config.text("ContentType")? {
        respond.push(("content_type", kind.value.into()));
    }
    if let Some(body) = config.text("MessageBody")? {
        respond.push(("body", body.value.into()));
    }
    Ok(vec![("respond", Value::table(respond))])
}

fn redirect(action: &Properties<'_, '_>) -> Result<Then, Fault> {
    let Some(config) = action.map("RedirectConfig")? else {
        return Err(Fault::expected(action.place, "`RedirectConfig`", "none").within(&action.path));
    };
    let part = |name, default: &str| {
        config.text(name).map(|at| at.map_or_else(|| default.to_owned(), |at| at.value))
    };
    let protocol = part("Protocol", "#{protocol}")?;
    let host = template(&part("Host", "#{host}")?);
    let port = part("Port", "#{port}")?;
    let path = part("Path", "/#{path}")?;
    let query = part("Query", "#{query}")?;
    let scheme = match protocol.as_str() {
        "#{protocol}" => "{scheme}".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let port = match (scheme.as_str(), port.as_str()) {
        ("https", "443") | ("http", "80") => String::new(),
        (_, "#{port}") if protocol == "#{protocol}" => {
            action.import.note(config.place, config.path.clone(), "`#{port}`: the redirect names no port");
            String::new()
        }
        // The port of the request belongs to another protocol.
        (_, "#{port}") => String::new(),
        (_, port) => format!(":{port}"),
    };
    let rest = match (path.as_str(), query.as_str()) {
        ("/#{path}", "#{query}") => "{uri}".to_owned(),
        (path, "") => template(path),
        (path, query) => format!("{}?{}", template(path), template(query)),
    };
    let status: u64 = match config.require_text("StatusCode")?.value.as_str() {
        "HTTP_301" => 301,
        "HTTP_302" => 302,
        other => {
            let fault = Fault::expected(config.place, "`HTTP_301` or `HTTP_302`", shown(other));
            return Err(fault.within(&config.path));
        }
    };
    let to = format!("{scheme}://{host}{port}{rest}");
    Ok(vec![("redirect", Value::table([("to", Value::from(to)), ("status", status.into())]))])
}

/// AWS writes `#{host}` where we write `{host}`; its path begins behind the slash.
fn template(text: &str) -> String {
    let braces = text.replace("#{", "\0").replace('{', "{{").replace('}', "}}").replace('\0', "#{");
    braces
        .replace("/#{path}}", "{path}")
        .replace("#{path}}", "{path}")
        .replace("#{host}}", "{host}")
        .replace("#{query}}", "{query}")
        .replace("#{protocol}}", "{scheme}")
        .replace("#{port}}", "{destination.port}")
}
