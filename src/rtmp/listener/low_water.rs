//! The receive low-water mark of a socket (SO_RCVLOWAT, socket(7)): below it the kernel wakes nobody. It
//! does not know what is received.
//!
//! The one `unsafe` call of the program: no crate that we have offers this option.

use std::io;

use tokio::net::TcpStream;

/// Lets readers sleep until `bytes` are there, or the peer has ended its side or reset the connection. A
/// read that does not wait returns fewer all the same. The kernel makes room for the mark in the receive
/// buffer, and takes at most half of the buffer's maximum.
///
/// # Errors
/// As setsockopt(2); elsewhere than on Linux that it is not supported.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(super) fn set(tcp: &TcpStream, bytes: usize) -> io::Result<()> {
    use std::{mem::size_of, os::fd::AsRawFd};

    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open as long as `tcp` is borrowed; the kernel reads the `c_int` that the
    // pointer and the length describe, and keeps neither.
    let result = unsafe {
        libc::setsockopt(
            tcp.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// See above.
#[cfg(not(target_os = "linux"))]
pub(super) fn set(_: &TcpStream, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
