//! Heads of requests and responses: never a panic, the same answer in pieces, and nothing taken that could be read otherwise.
#![no_main]

use foreword_http1::{HeadEnd, HeadError, Limits, Name, RequestHead, ResponseHead, Target, is_token};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head: 2048, fields: 20, target: 512 };

/// Looks for the end of a head in pieces of `piece` bytes, up to what `limits` allow.
fn find(
    mut search: HeadEnd,
    bytes: &[u8],
    piece: usize,
    limits: &Limits,
) -> Result<Option<usize>, HeadError> {
    let mut len = 0;
    while len < bytes.len() {
        len = (len + piece).min(bytes.len());
        if let Some(end) = search.find(&bytes[..len], limits)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

fn is_clean(value: &[u8]) -> bool {
    !value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let data = &data[..data.len().min(LIMITS.head)];
    let piece = usize::from(choice) + 1;

    let whole = find(HeadEnd::request(), data, data.len().max(1), &LIMITS);
    assert_eq!(find(HeadEnd::request(), data, piece, &LIMITS), whole);
    let mut index = RequestHead::default();
    let parsed = |end: &usize| RequestHead::default().parse(&data[..*end], &LIMITS).is_ok();
    assert_eq!(index.parse_at_once(data, &LIMITS), whole.ok().flatten().filter(parsed));
    if let Ok(Some(end)) = whole {
        let head = &data[..end];
        if index.parse(head, &LIMITS).is_ok() {
            let request = index.view(head);
            assert!(is_token(request.method().as_bytes()));
            assert!(request.raw_target().bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(Target::parse(request.method(), request.raw_target()).is_some());
            assert!(request.fields().all(|field| is_token(field.name) && is_clean(field.value)));
            assert!(request.fields().filter(|field| field.known == Name::Host).count() <= 1);
            assert!(request.fields().filter(|field| field.known == Name::ContentLength).count() <= 1);
            let lines = head.windows(2).filter(|pair| pair == b"\r\n").count();
            assert_eq!(lines, request.fields().count() + 2);
            assert_eq!(head.iter().filter(|&&byte| byte == b'\n').count(), lines);
        }
    }
    // Nobody promised that what is parsed was found by a search.
    let _ = index.parse(data, &LIMITS);

    let whole = find(HeadEnd::response(), data, data.len().max(1), &ResponseHead::LIMITS);
    assert_eq!(find(HeadEnd::response(), data, piece, &ResponseHead::LIMITS), whole);
    let mut index = ResponseHead::default();
    let parsed = |end: &usize| ResponseHead::default().parse(&data[..*end], &ResponseHead::LIMITS).is_ok();
    assert_eq!(index.parse_at_once(data, &ResponseHead::LIMITS), whole.ok().flatten().filter(parsed));
    if let Ok(Some(end)) = whole
        && index.parse(&data[..end], &ResponseHead::LIMITS).is_ok()
    {
        let response = index.view(&data[..end]);
        assert!((100..1000).contains(&response.status()) && is_clean(response.reason()));
        assert!(response.fields().all(|field| is_token(field.name) && is_clean(field.value)));
    }
    let _ = index.parse(data, &ResponseHead::LIMITS);
});
