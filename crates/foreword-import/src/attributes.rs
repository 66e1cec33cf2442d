//! The attributes of a target group: a template lists them, an annotation has them in one line, and both mean the same.

use crate::aws;
use crate::fault::{Fault, Note, Place, shown};
use crate::parts::Placement;

/// One attribute as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) place: Place,
    /// How messages call it.
    pub(crate) path: String,
}

/// What the attributes of one group come to.
#[derive(Debug)]
pub(crate) struct Attributes {
    /// Whether targets are sent a header, and when it leaves.
    pub(crate) header: bool,
    pub(crate) placement: Placement,
    /// Whether targets see the client's own address on the packets, where it is said.
    pub(crate) preserve: Option<bool>,
    /// Whether a client comes back to the same target by its address.
    pub(crate) by_client: bool,
    /// Whether the target with the fewest requests is next.
    pub(crate) least: bool,
    /// Seconds.
    pub(crate) drain: Option<u64>,
    /// Seconds.
    pub(crate) slow_start: Option<u64>,
    /// What of them is not carried over.
    pub(crate) notes: Vec<Note>,
}

/// Reads them all. What is not understood is a fault where its key is known, and a note where it is not.
pub(crate) fn read(attributes: impl IntoIterator<Item = Attribute>) -> Result<Attributes, Fault> {
    let mut group = Attributes {
        header: false,
        placement: aws::NLB_PLACEMENT,
        preserve: None,
        by_client: false,
        least: false,
        drain: None,
        slow_start: None,
        notes: Vec::new(),
    };
    let mut stickiness = Stickiness::default();
    for attribute in attributes {
        if !stickiness.take(&attribute)? {
            group.take(&attribute)?;
        }
    }
    group.stick(stickiness);
    Ok(group)
}

impl Attributes {
    fn take(&mut self, attribute: &Attribute) -> Result<(), Fault> {
        let value = attribute.value.as_str();
        match attribute.key.as_str() {
            aws::HEADER_ENABLED => self.header = attribute.flag()?,
            aws::HEADER_PLACEMENT => {
                let expected = "`on_first_ack` or `on_first_ack_with_payload`";
                self.placement = aws::placement(value).ok_or_else(|| attribute.wrong(expected))?;
            }
            "preserve_client_ip.enabled" => self.preserve = Some(attribute.flag()?),
            "load_balancing.algorithm.type" if value == "least_outstanding_requests" => self.least = true,
            "load_balancing.algorithm.type" if value == "round_robin" => {}
            "deregistration_delay.timeout_seconds" => self.drain = Some(attribute.number()?),
            "slow_start.duration_seconds" => {
                self.slow_start = Some(attribute.number()?).filter(|seconds| *seconds > 0);
            }
            _ => self.note(attribute, format!("{} is not carried over", shown(value))),
        }
        Ok(())
    }

    fn stick(&mut self, stickiness: Stickiness) {
        let Some(enabled) = stickiness.enabled else { return };
        match stickiness.kind.as_deref() {
            Some("source_ip") => self.by_client = true,
            Some("app_cookie") => self.note(&enabled, aws::sticky("AWSALBAPP", None)),
            None | Some("lb_cookie") => {
                let seconds = stickiness.seconds.unwrap_or(aws::ALB_COOKIE_AGE);
                self.note(&enabled, aws::sticky("AWSALB", Some(seconds)));
            }
            Some(kind) => self.note(&enabled, format!("stickiness by {} is not carried over", shown(kind))),
        }
    }

    fn note(&mut self, attribute: &Attribute, message: String) {
        let Attribute { place, path, .. } = attribute;
        self.notes.push(Note { place: *place, path: path.clone(), message });
    }
}

/// How clients come back to the target that they had.
#[derive(Debug, Default)]
struct Stickiness {
    /// The attribute that says that they do.
    enabled: Option<Attribute>,
    kind: Option<String>,
    /// For how long the balancer's own cookie is good.
    seconds: Option<u64>,
}

impl Stickiness {
    /// Takes an attribute if it is about this.
    fn take(&mut self, attribute: &Attribute) -> Result<bool, Fault> {
        match attribute.key.as_str() {
            "stickiness.enabled" => self.enabled = attribute.flag()?.then(|| attribute.clone()),
            "stickiness.type" => self.kind = Some(attribute.value.clone()),
            "stickiness.lb_cookie.duration_seconds" => self.seconds = Some(attribute.number()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Attribute {
    fn flag(&self) -> Result<bool, Fault> {
        match self.value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong("`true` or `false`")),
        }
    }

    pub(crate) fn number(&self) -> Result<u64, Fault> {
        self.value.parse().map_err(|_| self.wrong("a number"))
    }

    fn wrong(&self, expected: &str) -> Fault {
        Fault::expected(self.place, expected, shown(&self.value)).within(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(key: &str, value: &str) -> Result<Attributes, Fault> {
        let place = Place { line: 1, column: 1 };
        read([Attribute { key: key.to_owned(), value: value.to_owned(), place, path: key.to_owned() }])
    }

    #[test]
    fn a_flag_is_read_in_any_case_and_what_is_none_is_a_fault() {
        for (value, on) in [("true", true), ("True", true), ("FALSE", false)] {
            assert_eq!(read_one(aws::HEADER_ENABLED, value).expect(value).header, on, "{value}");
        }
        for (key, value) in [
            (aws::HEADER_ENABLED, "yes"),
            (aws::HEADER_PLACEMENT, "at once"),
            ("preserve_client_ip.enabled", ""),
            ("stickiness.enabled", "on"),
            ("deregistration_delay.timeout_seconds", "20s"),
            ("slow_start.duration_seconds", "-1"),
            ("stickiness.lb_cookie.duration_seconds", "a day"),
        ] {
            let fault = read_one(key, value).expect_err(key).to_string();
            assert!(fault.starts_with(key) && fault.contains(&shown(value)), "{fault}");
        }
    }

    #[test]
    fn what_is_not_carried_over_is_told_with_its_value() {
        for (key, value) in
            [("load_balancing.algorithm.type", "weighted_random"), ("deregistration_delay.x", "7")]
        {
            let group = read_one(key, value).expect(key);
            let [note] = group.notes.as_slice() else { panic!("{:?}", group.notes) };
            assert_eq!(note.to_string(), format!("{key}: `{value}` is not carried over"));
        }
    }
}
