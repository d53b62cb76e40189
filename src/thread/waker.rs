//! Waits for a socket, for frames to be sent, for the stop and for a deadline at once: poll(2) over the socket and
//! an eventfd.
//!
//! A channel cannot be waited for together with a socket, and a timeout short enough to look at it in between
//! would be a busy loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::thread::stop::Stop;

/// Ends a wait from another thread. What is said before the wait begins is not lost: the eventfd keeps it.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// Fails only where the process has no more descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC,
        )?))
    }

    /// Ends the wait under way, or else the next.
    pub fn wake(&self) {
        // Fails only where 2^64 - 2 calls have not been heard yet.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Can be read while a call has not been heard.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The calls so far are heard.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

/// Whoever waits: one thread.
#[derive(Clone, Copy)]
pub struct Waiter<'a> {
    /// Ends the wait.
    pub waker: &'a Waker,
    /// Ends every further one.
    pub stop: &'a Stop,
}

impl Waiter<'_> {
    /// Waits until the socket can be read (or written, if `wants_write`), somebody wakes, or `until`.
    pub fn wait(&self, socket: BorrowedFd<'_>, wants_write: bool, until: Instant) {
        let mut interest = PollFlags::IN;
        if wants_write {
            interest |= PollFlags::OUT;
        }
        let left = until.saturating_duration_since(Instant::now());
        // A wait that cannot be said in full ends early, which is always allowed.
        let timeout = Timespec::try_from(left).ok();
        let mut both = [
            PollFd::from_borrowed_fd(socket, interest),
            PollFd::from_borrowed_fd(self.waker.fd(), PollFlags::IN),
        ];
        // A signal ends it too. Whoever waits looks at everything anew.
        let _ = poll(&mut both, timeout.as_ref());
        self.waker.clear();
    }

    /// The same while something has a deadline: fails at it, and at the stop.
    pub fn wait_for(
        &self,
        socket: BorrowedFd<'_>,
        wants_write: bool,
        deadline: Instant,
    ) -> io::Result<()> {
        if self.stop.requested() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.wait(socket, wants_write, deadline);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::stop;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_call_before_the_wait_ends_it_and_is_heard_once() {
        let (_guard, stop) = stop::pair();
        let (waker, (ours, _theirs)) = (Waker::new().unwrap(), UnixStream::pair().unwrap());
        let waiter = Waiter {
            waker: &waker,
            stop: &stop,
        };
        waker.wake();
        waker.wake();
        let began = Instant::now();
        waiter.wait(ours.as_fd(), false, began + Duration::from_mins(1));
        assert!(began.elapsed() < Duration::from_secs(30));
        let until = Instant::now() + Duration::from_millis(20);
        waiter.wait(ours.as_fd(), false, until);
        assert!(Instant::now() >= until, "nobody called again");
    }

    #[test]
    fn the_socket_and_another_thread_end_it() {
        let (_guard, stop) = stop::pair();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let waker = Arc::new(Waker::new().unwrap());
        let waiter = Waiter {
            waker: &waker,
            stop: &stop,
        };
        let in_a_minute = Instant::now() + Duration::from_mins(1);
        let caller = std::thread::spawn({
            let waker = waker.clone();
            move || waker.wake()
        });
        waiter.wait(ours.as_fd(), false, in_a_minute);
        caller.join().unwrap();
        theirs.write_all(b"x").unwrap();
        waiter.wait(ours.as_fd(), false, in_a_minute);
        waiter.wait(ours.as_fd(), true, in_a_minute);
        assert!(Instant::now() < in_a_minute);
    }

    #[test]
    fn a_deadline_and_the_stop_are_errors() {
        let (guard, stop) = stop::pair();
        let (waker, (ours, _theirs)) = (Waker::new().unwrap(), UnixStream::pair().unwrap());
        let waiter = Waiter {
            waker: &waker,
            stop: &stop,
        };
        let kind = |deadline| {
            waiter
                .wait_for(ours.as_fd(), false, deadline)
                .unwrap_err()
                .kind()
        };
        assert_eq!(kind(Instant::now()), io::ErrorKind::TimedOut);
        drop(guard);
        let in_a_minute = Instant::now() + Duration::from_mins(1);
        assert_eq!(kind(in_a_minute), io::ErrorKind::Interrupted);
    }
}
