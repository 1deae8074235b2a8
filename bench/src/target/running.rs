//! A server that somebody else started and stops: for profiling one, or for comparing this client with another.

use super::{Cache, Directories, Target};
use crate::failure::{Failure, Outcome};
use std::net::SocketAddr;

/// A server that runs already. It is neither started nor stopped nor flushed.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    process: u32,
}

impl Running {
    /// The process that serves this address.
    pub fn new(address: SocketAddr, process: u32) -> Self {
        Self { address, process }
    }
}

impl Target for Running {
    fn title(&self) -> &'static str {
        "running server"
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn processes(&self) -> Outcome<Vec<u32>> {
        Ok(vec![self.process])
    }

    fn wipe(&mut self) -> Outcome {
        Ok(())
    }

    fn launch(&mut self, _: Cache) -> Outcome {
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        None
    }

    fn flush(&mut self) -> Outcome {
        Ok(())
    }

    fn kill(&mut self) -> Outcome {
        Err(Failure::new(
            "a server that somebody else started is not killed",
        ))
    }

    fn stop(&mut self) -> Outcome {
        Ok(())
    }

    fn directories(&self) -> Option<Directories> {
        None
    }
}
