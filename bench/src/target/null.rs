//! The empty server, as a process of its own so that its processor time can be told from the client's.

use super::{Cache, Directories, Target};
use crate::failure::{Failure, Outcome};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// [`crate::null`] in a child process.
#[derive(Debug)]
pub struct Null {
    address: SocketAddr,
    child: Option<Child>,
}

impl Null {
    /// On this address, not started.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            child: None,
        }
    }
}

impl Target for Null {
    fn title(&self) -> &'static str {
        "null server"
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn processes(&self) -> Outcome<Vec<u32>> {
        let child = self.child.as_ref();
        child
            .map(|child| vec![child.id()])
            .ok_or_else(|| Failure::new("the null server does not run"))
    }

    fn wipe(&mut self) -> Outcome {
        Ok(())
    }

    fn launch(&mut self, _: Cache) -> Outcome {
        super::must_be_free(self.address)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["null-server", &self.address.to_string()]);
        self.child = Some(command.stdin(Stdio::null()).spawn()?);
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(status.to_string())
    }

    fn flush(&mut self) -> Outcome {
        Ok(())
    }

    fn kill(&mut self) -> Outcome {
        self.stop()
    }

    fn stop(&mut self) -> Outcome {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn directories(&self) -> Option<Directories> {
        None
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        // Nothing is left to tell about a failure here.
        let _ = self.stop();
    }
}
