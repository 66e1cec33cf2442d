//! The tricks by which paths have slipped past rules, each with what becomes of it.

use super::{EncodedSlash, NormalPath, PathFault, PathPolicy};

/// As sent, as forwarded, as rules see it.
const SETTLED: &[(&str, &str, &str)] = &[
    ("/", "/", "/"),
    ("//", "/", "/"),
    ("///", "/", "/"),
    ("/admin", "/admin", "/admin"),
    ("/admin/", "/admin/", "/admin/"),
    ("//admin", "/admin", "/admin"),
    ("///admin///x", "/admin/x", "/admin/x"),
    ("/admin//", "/admin/", "/admin/"),
    ("/./admin", "/admin", "/admin"),
    ("/admin/.", "/admin/", "/admin/"),
    ("/admin/./", "/admin/", "/admin/"),
    ("/admin/..", "/", "/"),
    ("/admin/../", "/", "/"),
    ("/x/../admin", "/admin", "/admin"),
    ("/x//../admin", "/admin", "/admin"),
    ("/x/./../admin", "/admin", "/admin"),
    ("/x/y/../../admin", "/admin", "/admin"),
    ("/../admin", "/admin", "/admin"),
    ("/../../../admin", "/admin", "/admin"),
    ("/..", "/", "/"),
    ("/.", "/", "/"),
    ("/...", "/...", "/..."),
    ("/.../admin", "/.../admin", "/.../admin"),
    ("/.admin", "/.admin", "/.admin"),
    ("/..admin", "/..admin", "/..admin"),
    ("/admin.", "/admin.", "/admin."),
    ("/%61dmin", "/admin", "/admin"),
    ("/%61%64%6d%69%6e", "/admin", "/admin"),
    ("/%61%64%6D%69%6E", "/admin", "/admin"),
    ("/adm%69n", "/admin", "/admin"),
    ("/%2e/admin", "/admin", "/admin"),
    ("/%2E/admin", "/admin", "/admin"),
    ("/x/%2e%2e/admin", "/admin", "/admin"),
    ("/x/%2E%2E/admin", "/admin", "/admin"),
    ("/x/.%2e/admin", "/admin", "/admin"),
    ("/x/%2e./admin", "/admin", "/admin"),
    ("/%2e%2e/%2e%2e/admin", "/admin", "/admin"),
    ("/admin/%2e", "/admin/", "/admin/"),
    ("/admin/%2e%2e", "/", "/"),
    ("/%7euser", "/~user", "/~user"),
    ("/%2d%5f", "/-_", "/-_"),
    ("/admin;x", "/admin;x", "/admin"),
    ("/admin;x=y", "/admin;x=y", "/admin"),
    ("/admin;", "/admin;", "/admin"),
    ("/admin;/x", "/admin;/x", "/admin/x"),
    ("/admin;a=1/x;b=2", "/admin;a=1/x;b=2", "/admin/x"),
    ("/;x/admin", "/;x/admin", "/admin"),
    ("/;/admin", "/;/admin", "/admin"),
    ("/;/;/admin", "/;/;/admin", "/admin"),
    ("/admin/;x", "/admin/;x", "/admin/"),
    ("/x;a/../admin", "/admin", "/admin"),
    ("/x/;y/../admin", "/x/admin", "/x/admin"),
    ("/admin%3Bx", "/admin%3Bx", "/admin"),
    ("/admin%3bx/y", "/admin%3Bx/y", "/admin/y"),
    ("/%3b/admin", "/%3B/admin", "/admin"),
    ("/admin;x%3By", "/admin;x%3By", "/admin"),
    ("/admin%20", "/admin%20", "/admin%20"),
    ("/a%20b", "/a%20b", "/a%20b"),
    ("/a+b", "/a+b", "/a+b"),
    ("/a%2bb", "/a%2Bb", "/a+b"),
    ("/%40admin", "/%40admin", "/@admin"),
    ("/%24metadata", "/%24metadata", "/$metadata"),
    ("/a%3ab", "/a%3Ab", "/a:b"),
    ("/a%21b", "/a%21b", "/a!b"),
    ("/a%2cb", "/a%2Cb", "/a,b"),
    ("/a%3db", "/a%3Db", "/a=b"),
    ("/a%26b", "/a%26b", "/a&b"),
    ("/a%3fb", "/a%3Fb", "/a"),
    ("/admin%3Fx", "/admin%3Fx", "/admin"),
    ("/admin%23/x", "/admin%23/x", "/admin/x"),
    ("/a%23b", "/a%23b", "/a"),
    ("/a|b", "/a%7Cb", "/a%7Cb"),
    ("/a%7cb", "/a%7Cb", "/a%7Cb"),
    ("/{a}", "/%7Ba%7D", "/%7Ba%7D"),
    ("/[a]^`", "/%5Ba%5D%5E%60", "/%5Ba%5D%5E%60"),
    ("/%c3%a9", "/%C3%A9", "/%C3%A9"),
    ("/%e2%82%ac", "/%E2%82%AC", "/%E2%82%AC"),
    ("/%f0%9f%98%80", "/%F0%9F%98%80", "/%F0%9F%98%80"),
    ("/100%25", "/100%25", "/100%25"),
    ("/100%25ab", "/100%25ab", "/100%25ab"),
    ("/100%25/x", "/100%25/x", "/100%25/x"),
    ("/Admin", "/Admin", "/Admin"),
    ("/admin:80", "/admin:80", "/admin:80"),
    ("/http://x/", "/http:/x/", "/http:/x/"),
    ("/x/..", "/", "/"),
    ("/x/../..", "/", "/"),
    ("/a/b/c/../../d/./e/", "/a/d/e/", "/a/d/e/"),
];

const REFUSED: &[(&str, PathFault)] = &[
    ("admin", PathFault::NotAbsolute),
    ("./admin", PathFault::NotAbsolute),
    ("%2fadmin", PathFault::NotAbsolute),
    ("/%2fadmin", PathFault::EncodedSlash),
    ("/%2Fadmin", PathFault::EncodedSlash),
    ("/x%2f..%2fadmin", PathFault::EncodedSlash),
    ("/x/..%2fadmin", PathFault::EncodedSlash),
    ("/x/..%5cadmin", PathFault::EncodedSlash),
    ("/admin%5Cx", PathFault::EncodedSlash),
    ("/admin%2f", PathFault::EncodedSlash),
    ("/..%2f", PathFault::EncodedSlash),
    ("/\\admin", PathFault::Byte(b'\\')),
    ("/x/..\\admin", PathFault::Byte(b'\\')),
    ("/admin\\", PathFault::Byte(b'\\')),
    ("/admin#", PathFault::Byte(b'#')),
    ("/#/../admin", PathFault::Byte(b'#')),
    ("/admin\"", PathFault::Byte(b'"')),
    ("/<admin>", PathFault::Byte(b'<')),
    ("/admin x", PathFault::Byte(b' ')),
    ("/admin\tx", PathFault::Byte(b'\t')),
    ("/admin\0", PathFault::Byte(0)),
    ("/admin\r\n", PathFault::Byte(b'\r')),
    ("/adm\u{e9}n", PathFault::Byte(0xc3)),
    ("/admin%00", PathFault::EncodedControl),
    ("/admin%00.png", PathFault::EncodedControl),
    ("/%00/admin", PathFault::EncodedControl),
    ("/admin%0a", PathFault::EncodedControl),
    ("/admin%0D%0Ax", PathFault::EncodedControl),
    ("/admin%09", PathFault::EncodedControl),
    ("/admin%7f", PathFault::EncodedControl),
    ("/admin%1b", PathFault::EncodedControl),
    ("/admin%c2%85", PathFault::EncodedControl),
    ("/admin%", PathFault::Percent),
    ("/admin%6", PathFault::Percent),
    ("/admin%zz", PathFault::Percent),
    ("/admin%6g", PathFault::Percent),
    ("/%%61dmin", PathFault::Percent),
    ("/%u0061dmin", PathFault::Percent),
    ("/%u002fadmin", PathFault::Percent),
    ("/%+1", PathFault::Percent),
    ("/%2%65", PathFault::Percent),
    ("/%c0%af", PathFault::Utf8),
    ("/%c0%ae%c0%ae/admin", PathFault::Utf8),
    ("/%c1%a1dmin", PathFault::Utf8),
    ("/%e0%80%af", PathFault::Utf8),
    ("/%f0%80%80%af", PathFault::Utf8),
    ("/%f8%80%80%80%af", PathFault::Utf8),
    ("/%fe", PathFault::Utf8),
    ("/%ff", PathFault::Utf8),
    ("/%80", PathFault::Utf8),
    ("/%c3", PathFault::Utf8),
    ("/%c3/a9", PathFault::Utf8),
    ("/%c3x", PathFault::Utf8),
    ("/%e2%82", PathFault::Utf8),
    ("/%ed%a0%80", PathFault::Utf8),
    ("/%f4%90%80%80", PathFault::Utf8),
    ("/x/..;/admin", PathFault::DotSegment),
    ("/x/..;a=b/admin", PathFault::DotSegment),
    ("/x/.;/admin", PathFault::DotSegment),
    ("/..;", PathFault::DotSegment),
    ("/x/%2e%2e;/admin", PathFault::DotSegment),
    ("/x/..%3b/admin", PathFault::DotSegment),
    ("/x/%2e%2e%3B/admin", PathFault::DotSegment),
    ("/%2561dmin", PathFault::DoubleEncoding),
    ("/%252e%252e/admin", PathFault::DoubleEncoding),
    ("/x/%252e%252e%252fadmin", PathFault::DoubleEncoding),
    ("/%252fadmin", PathFault::DoubleEncoding),
    ("/%255cadmin", PathFault::DoubleEncoding),
    ("/%25%32%65%25%32%65/admin", PathFault::DoubleEncoding),
    ("/%25252e", PathFault::DoubleEncoding),
    ("/admin%2500", PathFault::DoubleEncoding),
    ("/admin%253bx", PathFault::DoubleEncoding),
];

/// With `encoded_slash = "keep"`: as sent, as forwarded, as rules see it.
const KEPT: &[(&str, &str, &str)] = &[
    ("/a%2fb", "/a%2Fb", "/a/b"),
    ("/a%5cb", "/a%5Cb", "/a/b"),
    ("/%2fadmin", "/%2Fadmin", "/admin"),
    ("/admin%2f", "/admin%2F", "/admin/"),
    ("/admin%2fx", "/admin%2Fx", "/admin/x"),
    ("/x%2f;a/admin", "/x%2F;a/admin", "/x/admin"),
];

const KEPT_REFUSED: &[&str] = &[
    // Whoever drops `;params` before decoding sees /admin, whoever decodes first sees /y/admin.
    "/;x%2Fy/admin",
    "/;x%5cy/admin",
    "/x;a%2fadmin",
    "/x%3ba%2fadmin",
    "/a%252fb",
    "/%252fadmin",
    "/x/..%252fadmin",
    "/%25252fadmin",
    "/x/..%2fadmin",
    "/x%2f..%2fadmin",
    "/x%2f../admin",
    "/x%2f%2e%2e",
    "/.%2fadmin",
    "/x/..%5cadmin",
    "/x%5c..",
    "/x%2f..;a/admin",
    "/x%2f.%3ba/admin",
    "/a\\b",
];

fn normal(target: &str, policy: PathPolicy) -> Result<NormalPath, PathFault> {
    let mut path = NormalPath::default();
    path.normalise(target, &policy).map(|()| path).map_err(|error| error.fault())
}

#[test]
fn every_settled_trick_has_one_spelling() {
    for &(sent, forwarded, matched) in SETTLED {
        let path = normal(sent, PathPolicy::default()).unwrap_or_else(|fault| panic!("{sent}: {fault}"));
        assert_eq!((path.forwarded(), path.matched()), (forwarded, matched), "{sent}");
    }
}

#[test]
fn every_trick_without_one_spelling_is_refused() {
    for &(sent, fault) in REFUSED {
        assert_eq!(normal(sent, PathPolicy::default()).map(|path| path.target), Err(fault), "{sent}");
    }
}

#[test]
fn kept_slashes_are_slashes_to_the_rules_and_never_hide_dots() {
    let policy = PathPolicy { encoded_slash: EncodedSlash::Keep, ..PathPolicy::default() };
    for &(sent, forwarded, matched) in KEPT {
        let path = normal(sent, policy).unwrap_or_else(|fault| panic!("{sent}: {fault}"));
        assert_eq!((path.forwarded(), path.matched()), (forwarded, matched), "{sent}");
    }
    for sent in KEPT_REFUSED {
        assert!(normal(sent, policy).is_err(), "{sent}");
    }
}

#[test]
fn case_is_for_the_rules_alone() {
    let policy = PathPolicy { ignore_case: true, ..PathPolicy::default() };
    for (sent, forwarded, matched) in [
        ("/Admin", "/Admin", "/admin"),
        ("/ADMIN;X/Y", "/ADMIN;X/Y", "/admin/y"),
        ("/%41dmin", "/Admin", "/admin"),
        ("/%C3%89", "/%C3%89", "/%c3%89"),
    ] {
        let path = normal(sent, policy).unwrap_or_else(|fault| panic!("{sent}: {fault}"));
        assert_eq!((path.forwarded(), path.matched()), (forwarded, matched), "{sent}");
    }
}
