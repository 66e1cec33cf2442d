//! The chapters of a connection's story: each has memory of its own, which goes when the next begins.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::refusal::Code;

/// What goes on with a connection now. It may end in what goes on then.
///
/// Most of a connection's life is waiting, and what led there is large: so it is let go before the waiting begins.
pub(crate) struct Chapter(Pin<Box<dyn Future<Output = Option<Chapter>>>>);

impl Chapter {
    pub(crate) fn new(chapter: impl Future<Output = Option<Self>> + 'static) -> Self {
        Self(Box::pin(chapter))
    }
}

/// A connection's whole story, as its task tells it. It ends with the last chapter, or with one that panics: its connection
/// is gone then, and nobody else's.
pub(crate) struct Story(Chapter);

impl Story {
    pub(crate) fn beginning_with(first: Chapter) -> Self {
        Self(first)
    }
}

impl Future for Story {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Chapter(chapter) = &mut self.0;
            match catch_unwind(AssertUnwindSafe(|| chapter.as_mut().poll(cx))) {
                Ok(poll) => match ready!(poll) {
                    Some(next) => self.0 = next,
                    None => return Poll::Ready(()),
                },
                Err(_) => {
                    tracing::error!("a connection panicked; the others go on [{}]", Code::Panicked);
                    return Poll::Ready(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn a_chapter_is_gone_when_the_next_begins() {
        let kept = Rc::new(Cell::new(0));
        let (of_first, of_second) = (Rc::clone(&kept), Rc::clone(&kept));
        let first = Chapter::new(async move {
            of_first.set(1);
            tokio::task::yield_now().await;
            Some(Chapter::new(async move {
                of_second.set(10 * Rc::strong_count(&of_second) + of_second.get());
                None
            }))
        });
        Story::beginning_with(first).await;
        assert_eq!(kept.get(), 21, "the second chapter holds it, and so does this test");
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_story_and_nothing_else() {
        Story::beginning_with(Chapter::new(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        }))
        .await;
    }

    #[test]
    fn a_task_is_no_larger_than_the_runtime_makes_it() {
        assert_eq!(size_of::<Story>(), 2 * size_of::<usize>());
    }
}
