//! What each code means, why it happens and what to do: the pages behind `foreword explain`.

mod file;
mod header;
mod http;
mod resource;
mod tls;
mod upstream;

use super::Code;

/// What `foreword explain` says about one code.
#[derive(Debug)]
pub struct Page {
    /// The code that the page is about.
    pub code: Code,
    /// What was seen, and what foreword did about it.
    pub meaning: &'static str,
    /// Where this usually comes from.
    pub cause: &'static str,
    /// What the reader can do.
    pub remedy: &'static str,
}

/// Finds the page of a code.
#[expect(
    clippy::indexing_slicing,
    reason = "a code's index is below `Code::COUNT`, which is how many pages there are"
)]
pub(super) const fn page(code: Code) -> &'static Page {
    PAGES[code.index()]
}

/// All pages in the order of the codes. A code without its page, or a page out of order, does not compile.
#[expect(clippy::indexing_slicing, reason = "it happens while compiling")]
const PAGES: [&Page; Code::COUNT] = {
    const ROOMS: [&[Page]; 6] =
        [header::PAGES, tls::PAGES, http::PAGES, upstream::PAGES, file::PAGES, resource::PAGES];
    let mut pages = [&header::PAGES[0]; Code::COUNT];
    let (mut room, mut place, mut written) = (0, 0, 0);
    while room < ROOMS.len() {
        if place == ROOMS[room].len() {
            (room, place) = (room + 1, 0);
            continue;
        }
        let page = &ROOMS[room][place];
        assert!(page.code.index() == written, "the pages are in the order of the codes");
        pages[written] = page;
        (place, written) = (place + 1, written + 1);
    }
    assert!(written == Code::COUNT, "every code has its page");
    pages
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_something_in_whole_sentences() {
        for page in PAGES {
            for text in [page.meaning, page.cause, page.remedy] {
                assert!(text.len() > 40 && text.ends_with('.'), "{}: {text}", page.code);
                assert!(!text.contains("  ") && !text.contains('\n'), "{}: {text}", page.code);
                assert!(
                    text.chars().next().is_some_and(|first| !first.is_lowercase()),
                    "{}: {text}",
                    page.code
                );
            }
        }
    }

    #[test]
    fn no_two_pages_say_the_same() {
        let mut meanings: Vec<_> = PAGES.iter().map(|page| page.meaning).collect();
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), Code::COUNT);
    }
}
