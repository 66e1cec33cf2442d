//! An enum of two streams as one stream.

/// Reads and writes whichever of its two streams an enum holds.
macro_rules! stream_of_either {
    ($either:ident { $one:ident, $other:ident }) => {
        impl tokio::io::AsyncRead for $either {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.get_mut() {
                    Self::$one(stream) => std::pin::Pin::new(stream).poll_read(cx, buffer),
                    Self::$other(stream) => std::pin::Pin::new(stream).poll_read(cx, buffer),
                }
            }
        }

        impl tokio::io::AsyncWrite for $either {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                match self.get_mut() {
                    Self::$one(stream) => std::pin::Pin::new(stream).poll_write(cx, bytes),
                    Self::$other(stream) => std::pin::Pin::new(stream).poll_write(cx, bytes),
                }
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                slices: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                // TLS writes its records so, most often one alone: a plain write costs the kernel less.
                if let [only] = slices {
                    return self.poll_write(cx, only);
                }
                match self.get_mut() {
                    Self::$one(stream) => std::pin::Pin::new(stream).poll_write_vectored(cx, slices),
                    Self::$other(stream) => std::pin::Pin::new(stream).poll_write_vectored(cx, slices),
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    Self::$one(stream) => stream.is_write_vectored(),
                    Self::$other(stream) => stream.is_write_vectored(),
                }
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.get_mut() {
                    Self::$one(stream) => std::pin::Pin::new(stream).poll_flush(cx),
                    Self::$other(stream) => std::pin::Pin::new(stream).poll_flush(cx),
                }
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                match self.get_mut() {
                    Self::$one(stream) => std::pin::Pin::new(stream).poll_shutdown(cx),
                    Self::$other(stream) => std::pin::Pin::new(stream).poll_shutdown(cx),
                }
            }
        }
    };
}

pub(super) use stream_of_either;
