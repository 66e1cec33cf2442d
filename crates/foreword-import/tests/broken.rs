//! Descriptions that were cut off or damaged end in a file or in a fault, never in a panic and never without end.

use std::fs;
use std::path::Path;

use foreword_import::{Deployment, cfn, k8s};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/import").join(name);
    fs::read_to_string(path).expect("an example")
}

fn deployment() -> Deployment {
    let mut deployment = Deployment::default();
    deployment.certificates = Some("certs/".to_owned());
    deployment.endpoints.push("10.0.0.1".parse().expect("an endpoint"));
    deployment
}

/// Whatever comes of it, it comes.
fn import(text: &str) {
    for outcome in [cfn(text, &deployment()), k8s(text, &deployment())] {
        match outcome {
            Ok(imported) => assert!(!imported.draft.to_string().is_empty()),
            Err(faults) => assert!(faults.iter().next().is_some(), "a fault without a word"),
        }
    }
}

const EXAMPLES: &[&str] = &["elb.json", "elb.yaml", "nlb.yaml", "alb.yaml", "service.yaml"];

#[test]
fn a_description_that_was_cut_off_is_no_panic() {
    for name in EXAMPLES {
        let text = example(name);
        for (end, _) in text.char_indices().step_by(5) {
            import(text.get(..end).expect("a boundary"));
        }
    }
}

#[test]
fn a_description_without_one_of_its_lines_is_no_panic() {
    for name in EXAMPLES {
        let text = example(name);
        let lines: Vec<&str> = text.lines().collect();
        for missing in 0..lines.len() {
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, line)| *line);
            import(&kept.collect::<Vec<_>>().join("\n"));
        }
    }
}

#[test]
fn a_description_with_other_letters_in_it_is_no_panic() {
    // A fixed sequence: what fails once fails again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    let letters: Vec<char> = "{}[]:,-&*!|>'\"%@`#?~\n\t \u{0}\u{feff}é\u{10ffff}0aRef${}<<".chars().collect();
    for name in EXAMPLES {
        let text: Vec<char> = example(name).chars().collect();
        for _ in 0..300 {
            let mut text = text.clone();
            for _ in 0..=next(4) {
                let (at, letter) = (next(text.len()), next(letters.len()));
                if let (Some(place), Some(letter)) = (text.get_mut(at), letters.get(letter)) {
                    *place = *letter;
                }
            }
            import(&text.into_iter().collect::<String>());
        }
    }
}

#[test]
fn sections_too_large_to_look_through_are_refused() {
    let names: String = (0..1001).map(|index| format!("  C{index}: !Equals [a, a]\n")).collect();
    let fault =
        cfn(&format!("Conditions:\n{names}Resources: {{}}\n"), &Deployment::default()).expect_err("too many");
    assert!(fault.to_string().contains("at most 1000 names"), "{fault}");
    let names: String = (0..2001).map(|index| format!("  R{index}: {{ Type: X }}\n")).collect();
    let fault = cfn(&format!("Resources:\n{names}"), &Deployment::default()).expect_err("too many");
    assert!(fault.to_string().contains("at most 2000 resources"), "{fault}");
}

#[test]
fn a_mapping_that_asks_for_itself_is_refused() {
    let refers = |value: &str| {
        let resource = "Type: AWS::ElasticLoadBalancing::LoadBalancer\n    Properties:\n      Listeners:\n        \
            - { LoadBalancerPort: !FindInMap [Ports, own, web], InstancePort: 80, Protocol: TCP }";
        let text = format!(
            "Mappings:\n  Ports:\n    own:\n      web: {value}\nResources:\n  Elb:\n    {resource}\n"
        );
        cfn(&text, &deployment())
    };
    assert!(refers("80").is_ok());
    for value in [
        "!FindInMap [Ports, own, web]",
        "{ \"Fn::FindInMap\": [Ports, own, web] }",
        "[[!Ref Elb]]",
        "[!Ref Elb]",
    ] {
        let fault = refers(value).expect_err("no text");
        assert!(fault.to_string().contains("expected text, or a list of it"), "{fault}");
    }
}

#[test]
fn no_key_of_a_description_speaks_to_the_terminal() {
    let listener = r#"{"LoadBalancerPort":"80","InstancePort":"80","Protocol":"TCP","\u001b[2J\nx":1}"#;
    let text = |listener: &str| {
        format!(
            r#"{{"Resources":{{"E":{{"Type":"AWS::ElasticLoadBalancing::LoadBalancer",
            "Properties":{{"Listeners":[{listener}]}}}}}}}}"#
        )
    };
    let imported = cfn(&text(listener), &deployment()).expect("a file");
    let note = imported.notes.first().expect("a note").to_string();
    assert!(note.contains(r"\u{1b}[2J\nx") && !note.contains(char::is_control), "{note}");
    let faults = cfn(&text(r#"{"\u001b[2J": {"Fn::Nothing": 1}}"#), &deployment()).expect_err("no function");
    let fault = faults.to_string();
    assert!(fault.contains(r"\u{1b}[2J") && !fault.contains(char::is_control), "{fault}");
}
