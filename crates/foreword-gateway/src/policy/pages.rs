//! The pages that are shown where a request is refused.

/// What is shown for which status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    pages: Vec<(Statuses, ErrorPage)>,
}

/// The statuses that a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// One.
    One(u16),
    /// All that begin with this digit and have no page of their own.
    Class(u16),
}

/// A page, and the places in it that are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    content_type: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Status,
    RequestId,
}

impl ErrorPages {
    /// Pages, each with its statuses.
    pub fn new(pages: Vec<(Statuses, ErrorPage)>) -> Self {
        Self { pages }
    }

    /// The page for a status: its own, else that of its class.
    pub fn find(&self, status: u16) -> Option<&ErrorPage> {
        let of = |wanted| self.pages.iter().find(|(statuses, _)| *statuses == wanted).map(|(_, page)| page);
        of(Statuses::One(status)).or_else(|| of(Statuses::Class(status / 100)))
    }
}

impl ErrorPage {
    /// A page in which `{status}` and `{request.id}` are filled in. Every other brace is itself: styles and scripts are
    /// full of them.
    pub fn new(content_type: impl Into<Box<str>>, content: &[u8]) -> Self {
        let mut parts = Vec::new();
        let (mut text, mut rest) = (Vec::new(), content);
        while let Some((first, behind)) = rest.split_first() {
            match MARKS.iter().find_map(|(mark, part)| Some((rest.strip_prefix(*mark)?, part))) {
                Some((behind, part)) => {
                    parts.push(Part::Text(std::mem::take(&mut text).into()));
                    parts.push(part.clone());
                    rest = behind;
                }
                None => {
                    text.push(*first);
                    rest = behind;
                }
            }
        }
        parts.push(Part::Text(text.into()));
        Self { content_type: content_type.into(), parts: parts.into() }
    }

    /// Its `Content-Type`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Writes it. `request_id` may hold whatever a proxy before us says: it is escaped for HTML, and so that it can end no
    /// text of JSON either. It is missing where no request could be read.
    pub fn write(&self, status: u16, request_id: Option<&[u8]>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Status => out.extend_from_slice(status.to_string().as_bytes()),
                Part::RequestId => write_escaped(request_id.unwrap_or(b"-"), out),
            }
        }
    }
}

fn write_escaped(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' => {
                out.push(byte);
            }
            b' '..=b'~' => out.extend_from_slice(format!("&#{byte};").as_bytes()),
            _ => out.push(b'?'),
        }
    }
}

const MARKS: [(&[u8], Part); 2] = [(b"{status}", Part::Status), (b"{request.id}", Part::RequestId)];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(page: &str, id: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        ErrorPage::new("text/html", page.as_bytes()).write(503, id, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_filled_in_ends_no_markup_and_no_text() {
        let page = "a {color: red} {status} <b>{request.id}</b> {request.ids} {{status}}";
        assert_eq!(
            written(page, Some(b"<a href=\"x\">'&\\\x00\xff")),
            "a {color: red} 503 <b>&#60;a&#32;href=&#34;x&#34;&#62;&#39;&#38;&#92;??</b> {request.ids} {503}"
        );
        assert_eq!(written("{request.id}", None), "-");
        assert_eq!(written("", None), "");
    }

    #[test]
    fn a_status_has_its_own_page_before_that_of_its_class() {
        let page = |text: &str| ErrorPage::new("text/plain", text.as_bytes());
        let pages = ErrorPages::new(vec![
            (Statuses::Class(5), page("sorry")),
            (Statuses::One(503), page("full")),
            (Statuses::One(404), page("none")),
        ]);
        assert_eq!(pages.find(503), Some(&page("full")));
        assert_eq!(pages.find(502), Some(&page("sorry")));
        assert_eq!(pages.find(404), Some(&page("none")));
        assert_eq!(pages.find(403), None);
    }
}
