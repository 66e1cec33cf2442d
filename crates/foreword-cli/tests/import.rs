//! `foreword import`, as it is called: what it prints, what it says of what it leaves out, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What a command wrote, and how it ended.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    /// As a snapshot shows it.
    fn shown(&self) -> String {
        let code = self.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
        format!("exit: {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/import")
}

fn foreword(folder: &Path, args: &[&str]) -> Said {
    let output = assert_cmd::Command::cargo_bin("foreword")
        .expect("it is built")
        .current_dir(folder)
        .args(args)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Imports a file that must come out good, and checks what came out with `foreword check`.
fn imported(folder: &Path, args: &[&str]) -> Said {
    let said = foreword(folder, args);
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let made = tempfile::tempdir().expect("a folder");
    certificates(&made);
    fs::write(made.path().join("f.toml"), &said.stdout).expect("written");
    let checked = foreword(made.path(), &["check", "-c", "f.toml"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, said.stdout);
    said
}

fn certificates(folder: &TempDir) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).expect("made");
    let made = rcgen::generate_simple_self_signed(["www.example.com".to_owned()]).expect("made");
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(certs.join("site.pem"));
    file.and_then(|mut file| file.write_all(pem.as_bytes())).expect("written");
}

/// Imports a template that is written here.
fn of_text(text: &str, args: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("t.yaml"), text).expect("written");
    foreword(folder.path(), &[&["import", "cfn", "t.yaml"], args].concat())
}

/// A template of one classic ELB, with these properties besides its listener.
fn elb(properties: &str) -> String {
    format!(
        "Resources:\n  Elb:\n    Type: AWS::ElasticLoadBalancing::LoadBalancer\n    Properties:\n      Listeners:\n        \
         - {{ LoadBalancerPort: 443, Protocol: TCP, InstancePort: 443 }}\n{properties}"
    )
}

#[test]
fn the_elb_of_the_story_comes_out_the_same_from_json_and_from_yaml() {
    let args = ["--param", "WebServer=10.0.1.10"];
    let json = imported(&examples(), &[&["import", "cfn", "elb.json"], &args[..]].concat());
    let yaml = imported(&examples(), &[&["import", "cfn", "elb.yaml"], &args[..]].concat());
    let tables = |said: &Said| said.stdout.split_once("\n\n").expect("tables").1.to_owned();
    assert_eq!(tables(&json), tables(&yaml));
    insta::assert_snapshot!("elb_json", json.shown());
    insta::assert_snapshot!("elb_yaml", yaml.shown());
}

#[test]
fn an_nlb_says_where_the_header_goes_and_when() {
    let said = imported(&examples(), &["import", "cfn", "nlb.yaml", "--certificates", "certs/"]);
    insta::assert_snapshot!("nlb", said.shown());
}

#[test]
fn an_alb_keeps_its_rules_in_their_order_and_what_it_guards_closed() {
    let args = ["import", "cfn", "alb.yaml", "--certificates", "certs/", "--endpoint", "App=10.0.3.10"];
    insta::assert_snapshot!("alb", imported(&examples(), &args).shown());
}

#[test]
fn targets_that_speak_http2_are_spoken_to_in_http2() {
    let alb = fs::read_to_string(examples().join("alb.yaml")).expect("an example");
    let args = ["import", "cfn", "t.yaml", "--certificates", "certs/", "--endpoint", "App=10.0.3.10"];
    let folder = tempfile::tempdir().expect("a folder");
    for version in ["HTTP2", "GRPC", "HTTP1"] {
        let group = format!("      Port: 8080\n      ProtocolVersion: {version}\n");
        fs::write(folder.path().join("t.yaml"), alb.replace("      Port: 8080\n", &group)).expect("written");
        let said = imported(folder.path(), &args);
        let second = version != "HTTP1";
        for (line, there) in [
            ("protocol      = \"h2\"", second),
            // A check that speaks HTTP/1.1 would find every one of them down.
            ("check    = \"tcp\"", second),
            ("check    = \"http\"", !second),
            ("checks speak HTTP/1.1", second),
        ] {
            assert_eq!(said.stdout.contains(line), there, "{version}, {line}: {}", said.shown());
        }
    }
    let group = "      Port: 8080\n      ProtocolVersion: HTTP3\n";
    fs::write(folder.path().join("t.yaml"), alb.replace("      Port: 8080\n", group)).expect("written");
    let said = foreword(folder.path(), &args);
    assert_eq!(said.code, Some(1), "{}", said.shown());
    assert!(said.stderr.contains("expected `HTTP1`, `HTTP2` or `GRPC`, found `HTTP3`"), "{}", said.shown());
}

#[test]
fn the_line_that_stands_for_a_cookie_of_theirs_can_be_pasted() {
    let policies = "      Instances: [10.0.0.1]\n      LBCookieStickinessPolicy: [{ PolicyName: a, CookieExpirationPeriod: 600 }]\n      \
                    AppCookieStickinessPolicy: [{ PolicyName: b, CookieName: SESSION }]\n";
    let classic = of_text(&elb(policies), &[]);
    let alb = ["import", "cfn", "alb.yaml", "--certificates", "certs/", "--endpoint", "App=10.0.3.10"];
    let alb = imported(&examples(), &alb);
    for (said, cookies, cluster) in [(&classic, 2, "[cluster.Elb-443]\n"), (&alb, 1, "[cluster.App]\n")] {
        let pieces = said.stderr.split("add `").skip(1);
        let lines: Vec<&str> = pieces.filter_map(|line| line.split_once('`')).map(|(line, _)| line).collect();
        assert_eq!(lines.len(), cookies, "{}", said.shown());
        for line in lines {
            let made = tempfile::tempdir().expect("a folder");
            certificates(&made);
            fs::write(made.path().join("sticky.key"), "0123456789abcdef").expect("written");
            let file = said.stdout.replace(cluster, &format!("{cluster}{line}\n"));
            assert_ne!(file, said.stdout, "{}", said.shown());
            fs::write(made.path().join("f.toml"), &file).expect("written");
            let checked = foreword(made.path(), &["check", "-c", "f.toml"]);
            assert_eq!(checked.code, Some(0), "{}{file}", checked.stdout);
        }
    }
}

#[test]
fn datagrams_are_balanced_beside_tcp() {
    let text = "Resources:\n  Dns:\n    Type: AWS::ElasticLoadBalancingV2::Listener\n    Properties:\n      Port: 53\n      \
                Protocol: TCP_UDP\n      DefaultActions: [{ Type: forward, TargetGroupArn: !Ref Resolvers }]\n  \
                Resolvers:\n    Type: AWS::ElasticLoadBalancingV2::TargetGroup\n    Properties:\n      Port: 53\n      \
                Protocol: TCP_UDP\n      Targets: [{ Id: 10.0.2.10 }]\n      HealthCheckProtocol: HTTP\n      \
                HealthCheckPort: 8080\n      HealthCheckPath: /ready\n      TargetGroupAttributes:\n        \
                - { Key: proxy_protocol_v2.enabled, Value: true }\n        - { Key: stickiness.enabled, Value: true }\n        \
                - { Key: stickiness.type, Value: source_ip }\n";
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("t.yaml"), text).expect("written");
    insta::assert_snapshot!("tcp_udp", imported(folder.path(), &["import", "cfn", "t.yaml"]).shown());
    // Without stickiness each flow is taken by itself.
    let text = text.replace("source_ip", "none").replace(
        "Value: true }\n        - { Key: stickiness.type",
        "Value: false }\n        - { Key: stickiness.type",
    );
    fs::write(folder.path().join("t.yaml"), text).expect("written");
    let said = imported(folder.path(), &["import", "cfn", "t.yaml"]);
    assert_eq!(said.stdout.matches("{client.ip} {client.port}").count(), 2, "{}", said.shown());
    let text = service(&[("load-balancer.hetzner.cloud/uses-proxyprotocol", "true")])
        .replace("nodePort: 30443", "protocol: UDP, nodePort: 30443");
    fs::write(folder.path().join("s.yaml"), text).expect("written");
    let said = imported(folder.path(), &["import", "k8s", "s.yaml", "--endpoint", "10.0.0.1"]);
    assert!(
        said.stdout.contains("mode    = \"udp\"") && said.stderr.contains("datagrams get no header"),
        "{}",
        said.shown()
    );
}

#[test]
fn a_service_of_kubernetes_says_which_header_its_nodes_get() {
    let args = ["import", "k8s", "service.yaml", "--endpoint", "10.0.1.10", "--endpoint", "10.0.1.11"];
    insta::assert_snapshot!("k8s", imported(&examples(), &args).shown());
}

/// A Service of one port, with these annotations.
fn service(annotations: &[(&str, &str)]) -> String {
    let annotations: String =
        annotations.iter().map(|(name, value)| format!("    {name}: {value:?}\n")).collect();
    format!(
        "kind: Service\nmetadata:\n  name: web\n  annotations:\n    kubectl.kubernetes.io/x: y\n{annotations}spec:\n  \
         type: LoadBalancer\n  externalTrafficPolicy: Local\n  loadBalancerSourceRanges: [192.0.2.0/24]\n  ports: [{{ name: https, port: 443, nodePort: 30443 }}]\n"
    )
}

/// A Service with one of AWS's annotations.
fn aws(name: &str, value: &str) -> String {
    service(&[(&format!("service.beta.kubernetes.io/aws-load-balancer-{name}"), value)])
}

#[test]
fn attributes_of_a_target_group_mean_the_same_in_an_annotation() {
    let folder = tempfile::tempdir().expect("a folder");
    let attributes = "proxy_protocol_v2.enabled=True, stickiness.enabled=true,stickiness.type=source_ip,\
                      slow_start.duration_seconds=30,deregistration_delay.timeout_seconds=20,a.b=c,";
    let text = service(&[
        ("service.beta.kubernetes.io/aws-load-balancer-type", "nlb"),
        ("service.beta.kubernetes.io/aws-load-balancer-target-group-attributes", attributes),
    ]);
    fs::write(folder.path().join("s.yaml"), text).expect("written");
    let said = imported(folder.path(), &["import", "k8s", "s.yaml", "--endpoint", "10.0.0.1"]);
    for line in
        ["= \"v2\"", "= { hash = \"client.ip\" }", "slow_start       = \"30s\"", "{ drain = \"20s\" }"]
    {
        assert!(said.stdout.contains(line), "{line}: {}", said.shown());
    }
    assert!(
        said.stderr.contains("target-group-attributes\"].a.b: `c` is not carried over"),
        "{}",
        said.shown()
    );
}

#[test]
fn without_source_ranges_everyone_may_connect_as_in_kubernetes() {
    let folder = tempfile::tempdir().expect("a folder");
    for ranges in ["[]", "~"] {
        let text = service(&[]).replace("[192.0.2.0/24]", ranges);
        fs::write(folder.path().join("s.yaml"), text).expect("written");
        let said = imported(folder.path(), &["import", "k8s", "s.yaml", "--endpoint", "10.0.0.1"]);
        assert!(!said.stdout.contains("rule"), "{}", said.shown());
    }
}

#[test]
fn every_cloud_says_in_its_own_words_which_header_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shown = String::new();
    let aws = "service.beta.kubernetes.io/aws-load-balancer-";
    for annotations in [
        &[("service.beta.kubernetes.io/aws-load-balancer-proxy-protocol", "*")][..],
        &[
            ("service.beta.kubernetes.io/aws-load-balancer-type", "nlb"),
            (
                "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes",
                "proxy_protocol_v2.enabled=true",
            ),
        ],
        &[
            ("service.beta.kubernetes.io/aws-load-balancer-ssl-cert", "arn:aws:acm:x"),
            ("service.beta.kubernetes.io/aws-load-balancer-ssl-ports", "https"),
            ("service.beta.kubernetes.io/aws-load-balancer-backend-protocol", "https"),
            ("service.beta.kubernetes.io/aws-load-balancer-connection-idle-timeout", "600"),
            ("service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled", "true"),
        ],
        &[
            ("service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol", "true"),
            ("service.beta.kubernetes.io/do-loadbalancer-algorithm", "least_connections"),
        ],
        &[("load-balancer.hetzner.cloud/uses-proxyprotocol", "true")],
        &[("loadbalancer.openstack.org/proxy-protocol", "true")],
        &[("service.beta.kubernetes.io/ovh-loadbalancer-proxy-protocol", "v2_ssl")],
        &[("service.beta.kubernetes.io/scw-loadbalancer-proxy-protocol-v2", "443")],
        &[("service.beta.kubernetes.io/scw-loadbalancer-proxy-protocol-v1", "80")],
        &[("service.beta.kubernetes.io/linode-loadbalancer-default-proxy-protocol", "v1")],
        &[("service.beta.kubernetes.io/azure-pls-proxy-protocol", "true")],
        &[("service.beta.kubernetes.io/alibaba-cloud-loadbalancer-proxy-protocol", "on")],
        &[("networking.gke.io/load-balancer-type", "Internal")],
    ] {
        fs::write(folder.path().join("s.yaml"), service(annotations)).expect("written");
        let args = ["import", "k8s", "s.yaml", "--endpoint", "10.0.0.1", "--certificates", "certs/"];
        let said = imported(folder.path(), &args);
        let (_, tables) = said.stdout.split_once("\n\n").expect("tables");
        let names: Vec<&str> = annotations.iter().map(|(name, _)| name.trim_start_matches(aws)).collect();
        shown.push_str(&format!("=== {}\n{tables}{}", names.join(" "), said.stderr));
    }
    insta::assert_snapshot!("clouds", shown);
}

#[test]
fn a_service_attachment_asks_for_the_header_of_its_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let attachment = "---\napiVersion: networking.gke.io/v1\nkind: ServiceAttachment\nmetadata: { name: psc }\nspec:\n  \
                      proxyProtocol: true\n  resourceRef: { kind: Service, name: web }\n";
    fs::write(folder.path().join("s.yaml"), service(&[]) + attachment).expect("written");
    let said = imported(folder.path(), &["import", "k8s", "s.yaml", "--endpoint", "10.0.0.1"]);
    assert!(said.stdout.contains("send_header = \"v2\""), "{}", said.shown());
}

#[test]
fn what_is_no_service_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shown = String::new();
    let good = service(&[]);
    for (text, args) in [
        (good.clone(), &[][..]),
        (good.clone(), &["--endpoint", "wbe=10.0.0.1"]),
        (good.clone(), &["--endpoint", "10.0.0.1", "--listen", "80=127.0.0.1:80"]),
        (good.replace(", nodePort: 30443", ""), &["--endpoint", "10.0.0.1"]),
        (good.replace("port: 443", "port: 443, protocol: SCTP"), &["--endpoint", "10.0.0.1"]),
        (good.replace("LoadBalancer", "ClusterIP"), &[]),
        (format!("{good}---\n{good}---\n{good}"), &["--endpoint", "10.0.0.1"]),
        ("kind: Service\nspec: { type: LoadBalancer }\n".to_owned(), &[]),
        (service(&[("load-balancer.hetzner.cloud/uses-proxyprotocol", "yes")]), &[]),
        (
            service(&[("service.beta.kubernetes.io/aws-load-balancer-ssl-cert", "x")]),
            &["--endpoint", "10.0.0.1"],
        ),
        (
            service(&[("service.beta.kubernetes.io/aws-load-balancer-healthcheck-port", "x")]),
            &["--endpoint", "10.0.0.1"],
        ),
        // An entry that is passed over would leave the balancer open to more than it says.
        (good.replace("192.0.2.0/24", "192.0.2.0/24, {a: b}"), &["--endpoint", "10.0.0.1"]),
        (good.replace("[192.0.2.0/24]", "[~]"), &["--endpoint", "10.0.0.1"]),
        (good.replace("[192.0.2.0/24]", "192.0.2.0/24"), &["--endpoint", "10.0.0.1"]),
        (good.replace("192.0.2.0/24", "192.0.2.0/33"), &["--endpoint", "10.0.0.1"]),
        (
            service(&[("service.beta.kubernetes.io/load-balancer-source-ranges", "192.0.2.1")])
                .replace("[192.0.2.0/24]", "[]"),
            &["--endpoint", "10.0.0.1"],
        ),
        (good.replace("kubectl.kubernetes.io/x: y", "a.example/x: [y]"), &["--endpoint", "10.0.0.1"]),
        // What a cloud would not take is no wish either.
        (aws("proxy-protocol", "false"), &["--endpoint", "10.0.0.1"]),
        (aws("backend-protocol", "h2c"), &["--endpoint", "10.0.0.1"]),
        (aws("target-group-attributes", "proxy_protocol_v2.enabled"), &["--endpoint", "10.0.0.1"]),
        (aws("target-group-attributes", "proxy_protocol_v2.enabled=yes"), &["--endpoint", "10.0.0.1"]),
        (
            aws("target-group-attributes", "deregistration_delay.timeout_seconds=soon"),
            &["--endpoint", "10.0.0.1"],
        ),
        (String::new(), &[]),
        ("Resources:\n  Web:\n    Type: AWS::EC2::Instance\n".to_owned(), &[]),
        ("a: [".to_owned(), &[]),
    ] {
        fs::write(folder.path().join("s.yaml"), text).expect("written");
        let said = foreword(folder.path(), &[&["import", "k8s", "s.yaml"], args].concat());
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
        shown.push_str(&format!("=== {}\n{}", args.join(" "), said.stderr));
    }
    insta::assert_snapshot!("k8s_faults", shown);
}

#[test]
fn services_of_one_name_in_two_namespaces_are_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let other =
        service(&[]).replace("  name: web\n", "  name: web\n  namespace: blue\n").replace("443", "444");
    fs::write(folder.path().join("s.yaml"), format!("{}---\n{other}", service(&[]))).expect("written");
    let said = imported(folder.path(), &["import", "k8s", "s.yaml", "--endpoint", "10.0.0.1"]);
    assert!(said.stdout.contains("[listener.\"blue.web-444\"]"), "{}", said.stdout);
}

#[test]
fn a_redirect_and_a_text_come_out_as_they_are_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let template = |redirect: &str| {
        format!(
            "Resources:\n  L:\n    Type: AWS::ElasticLoadBalancingV2::Listener\n    Properties:\n      Port: 80\n      \
             Protocol: HTTP\n      DefaultActions:\n        - {{ Type: redirect, RedirectConfig: {{ {redirect} }} }}\n"
        )
    };
    for (redirect, to) in [
        ("Protocol: HTTPS, Port: \"443\", StatusCode: HTTP_301", "https://{host}{uri}"),
        ("Host: \"www.#{host}\", StatusCode: HTTP_302", "{scheme}://www.{host}{uri}"),
        (
            "Protocol: HTTPS, Port: \"8443\", Path: \"/new/#{path}\", StatusCode: HTTP_301",
            "https://{host}:8443/new{path}?{query}",
        ),
        ("Protocol: HTTPS, Path: \"/{a}\", Query: \"\", StatusCode: HTTP_301", "https://{host}/{{a}}"),
    ] {
        fs::write(folder.path().join("t.yaml"), template(redirect)).expect("written");
        let said = imported(folder.path(), &["import", "cfn", "t.yaml"]);
        assert!(said.stdout.contains(&format!("to = \"{to}\"")), "{redirect}: {}", said.shown());
    }
}

#[test]
fn what_only_the_deployment_knows_is_asked_for_by_name() {
    insta::assert_snapshot!("elb_missing", foreword(&examples(), &["import", "cfn", "elb.json"]).shown());
    let said = of_text(&elb(""), &[]);
    insta::assert_snapshot!("elb_no_instances", said.shown());
}

#[test]
fn endpoints_and_listeners_go_where_the_flags_say() {
    let said = imported(
        &examples(),
        &[
            "import",
            "cfn",
            "elb.json",
            "--endpoint",
            "443=127.0.0.1:8443",
            "--endpoint",
            "Elb:80=127.0.0.1:8080",
            "--listen",
            "443=127.0.0.1:9443",
            "--listen",
            "80=127.0.0.1:9080",
        ],
    );
    for line in
        ["[\"127.0.0.1:8443\"]", "[\"127.0.0.1:8080\"]", "[\"127.0.0.1:9443\"]", "[\"127.0.0.1:9080\"]"]
    {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
}

#[test]
fn ports_and_instances_may_be_parameters() {
    let text = "\u{feff}Parameters:\n  Port: { Type: Number, Default: 443 }\n  Ids: { Type: \"List<AWS::EC2::Instance::Id>\" }\n"
        .to_owned()
        + &elb("      Instances: !Ref Ids\n      Policies:\n        - PolicyType: ProxyProtocolPolicyType\n          \
                Attributes: [{ Name: ProxyProtocol, Value: true }]\n          InstancePorts: [!Ref Port]\n")
            .replace("Port: 443", "Port: !Ref Port");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("t.yaml"), text).expect("written");
    let flags = ["--param", "Port=8443", "--param", "Ids=10.0.0.1,10.0.0.2"];
    let said = imported(folder.path(), &[&["import", "cfn", "t.yaml"], &flags[..]].concat());
    for line in
        ["bind    = [\"[::]:8443\"]", "[\"10.0.0.1:8443\", \"10.0.0.2:8443\"]", "send_header   = \"v1\""]
    {
        assert!(said.stdout.contains(line), "{line}: {}", said.shown());
    }
    imported(folder.path(), &["import", "cfn", "t.yaml", "--endpoint", "10.0.0.3"]);
    let said = foreword(folder.path(), &["import", "cfn", "t.yaml"]);
    assert!(said.stderr.contains("hint: give `--param Ids=…`"), "{}", said.shown());
}

#[test]
fn what_cannot_be_imported_is_told_with_its_place() {
    let more = "      Instances: [10.0.0.1]\n";
    let cases: &[(&str, String)] = &[
        ("no_such_resource", elb("      Instances: [!Ref Wbe]\n  Web:\n    Type: AWS::EC2::Instance\n")),
        ("no_such_function", elb("      Instances: !Reff Web\n")),
        ("not_yaml", "Resources:\n  Elb: [\n".to_owned()),
        ("empty", String::new()),
        ("a_list", "- 1\n".to_owned()),
        ("a_manifest", "apiVersion: v1\nkind: Service\n---\napiVersion: v1\nkind: ConfigMap\n".to_owned()),
        ("no_balancer", "Resources:\n  Web:\n    Type: AWS::EC2::Instance\n".to_owned()),
        ("no_type", "Resources:\n  Web: {}\n".to_owned()),
        ("alias", elb("      Instances: &a [10.0.0.1]\n      Subnets: *a\n")),
        (
            "circle",
            elb(more)
                + "  A:\n    Type: X::Y::Z\n    Properties: { B: !GetAtt B.Arn }\n  \
                   B:\n    Type: X::Y::Z\n    DependsOn: C\n  C:\n    Type: X::Y::Z\n    Properties: { A: !Sub \"${A}\" }\n",
        ),
        (
            "circle_of_conditions",
            format!(
                "Conditions:\n  A: !Not [!Condition B]\n  B: !Or [!Condition A, !Condition A]\n{}",
                elb("      Instances: !If [A, [10.0.0.1], [10.0.0.2]]\n")
            ),
        ),
        ("bad_port", elb(more).replace("InstancePort: 443", "InstancePort: 70000")),
        ("bad_protocol", elb(more).replace("Protocol: TCP", "Protocol: SCTP")),
        ("a_loop", elb(more) + "    DependsOn: Elb\n"),
        ("for_each", elb(more) + "  Fn::ForEach::X: [A, [B], {}]\n"),
    ];
    let mut shown = String::new();
    for (name, text) in cases {
        let said = of_text(text, &[]);
        assert_eq!(said.code, Some(1), "{name}: {}", said.shown());
        assert_eq!(said.stdout, "", "{name}");
        shown.push_str(&format!("=== {name}\n{}", said.stderr));
    }
    insta::assert_snapshot!("faults", shown);
}

#[test]
fn flags_that_fit_nothing_are_no_silent_loss() {
    let text = elb("      Instances: [10.0.0.1]\n");
    let mut shown = String::new();
    for args in [
        &["--param", "Nope=1"][..],
        &["--endpoint", "444=10.0.0.2"],
        &["--endpoint", "Ebl=10.0.0.2"],
        &["--listen", "80=127.0.0.1:80"],
        &["--endpoint", "443=10.0.0.2:99999"],
        &["--strict", "--param", "Elb.X=1", "--endpoint", "443=a b"],
    ] {
        let said = of_text(&text, args);
        assert_eq!(said.code, Some(1), "{args:?}: {}", said.shown());
        shown.push_str(&format!("=== {}\n{}", args.join(" "), said.stderr));
    }
    insta::assert_snapshot!("flags", shown);
    let said = of_text(&text, &["--param", "x"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    let said = foreword(Path::new("."), &["import", "cfn", "/no/such/file"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn under_strict_nothing_may_be_left_out() {
    let args = ["import", "cfn", "elb.json", "--endpoint", "10.0.0.1", "--strict"];
    let said = foreword(&examples(), &args);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    let said = of_text(&elb("      Instances: [10.0.0.1]\n"), &["--strict"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
}

#[test]
fn texts_that_double_at_each_level_are_stopped() {
    let mut text = "\"${AWS::Region}\"".to_owned();
    for _ in 0..40 {
        text = format!("!Sub [\"${{x}}${{x}}\", {{ x: {text} }}]");
    }
    let said =
        of_text(&elb(&format!("      Instances: [{text}]\n")), &["--param", "AWS::Region=eu-central-1"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("at most 65536 bytes of text") || said.stderr.contains("levels"),
        "{}",
        said.stderr
    );
}
