//! Statements to the nodes of a cluster, and their answers.

use super::Cluster;
use crate::node::machine::{Answer, Asking};
use model::error::Consistency;

/// A request: which node, and its number there.
pub type Ticket = (usize, u64);

/// Longest virtual time a statement waits for its answer, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

impl Cluster {
    /// Sends a statement to a shard of a node that serves.
    pub fn send_statement(&mut self, node: usize, shard: u16, asking: &Asking) -> Ticket {
        self.run_node(node);
        let request = self.nodes[node].send(shard, asking);
        self.send(node);
        (node, request)
    }

    /// The answer to a request and where its next page begins, if it has come.
    pub fn take_answer(&mut self, (node, request): Ticket) -> Option<(Answer, Option<Vec<u8>>)> {
        let node = &mut self.nodes[node];
        let answer = node.answers.remove(&request)?;
        Some((answer, node.pages.remove(&request)))
    }

    /// Sends a statement to the first shard of a node and runs all nodes until it is answered.
    pub fn ask(&mut self, node: usize, level: Consistency, text: &str) -> Result<Answer, String> {
        if !self.serves(node)? {
            return Err(format!("node {} does not serve: {text}", node + 1));
        }
        let ticket = self.send_statement(node, 0, &Asking::new(level, text));
        let end = self.nanos + PATIENCE_MS * 1_000_000;
        while self.nanos < end {
            if let Some((answer, _)) = self.take_answer(ticket) {
                return Ok(answer);
            }
            self.pass(1);
        }
        Err(format!("never answered: {text}"))
    }

    /// As [`Self::ask`], of a statement that must succeed.
    pub fn must(&mut self, node: usize, level: Consistency, text: &str) -> Result<Answer, String> {
        match self.ask(node, level, text)? {
            Answer::Error(code, message) => Err(format!("{text}: {code:#x} {message}")),
            answer => Ok(answer),
        }
    }
}
