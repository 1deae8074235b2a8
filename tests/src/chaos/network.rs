//! A network of machines that are namespaces: one switch, and links between any two machines that lose what is sent on them.
//!
//! Whoever makes one is root of a network namespace that nothing else is in: the switch is there, at an address of its own from which
//! all machines are reached. A machine's namespace lives as long as a process that does nothing. A link is cut by telling the sender a
//! hardware address that nobody has: what it sends is lost without a word, as on a broken network; machines whose links to each other
//! are cut still reach all others.

use super::{address, must};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Name of the switch.
const SWITCH: &str = "switch";
/// The switch's own number on the network.
const SWITCH_NUMBER: u8 = 254;
/// Nobody's hardware address.
const NOBODY: &str = "02:00:00:00:00:00";

/// The machines.
pub struct Network {
    /// What keeps their namespaces.
    holders: Vec<Child>,
}

impl Network {
    /// So many machines, numbered from 1.
    pub fn new(machines: u8) -> Result<Self, String> {
        let own = format!("{}/24", address(SWITCH_NUMBER));
        must("ip", &["link", "set", "lo", "up"])?;
        must("ip", &["link", "add", SWITCH, "type", "bridge"])?;
        must("ip", &["address", "add", &own, "dev", SWITCH])?;
        must("ip", &["link", "set", SWITCH, "up"])?;
        let mut network = Self {
            holders: Vec::new(),
        };
        for machine in 1..=machines {
            network.add(machine)?;
        }
        Ok(network)
    }

    fn add(&mut self, machine: u8) -> Result<(), String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made && read -r line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let output = holder.stdout.take();
        let id = holder.id().to_string();
        self.holders.push(holder);
        let mut line = String::new();
        if let Some(output) = output {
            let read = BufReader::new(output).read_line(&mut line);
            read.map_err(|error| error.to_string())?;
        }
        if line.trim() != "made" {
            return Err("the system makes no namespace".to_owned());
        }
        let (port, own) = (format!("port{machine}"), format!("{}/24", address(machine)));
        let plug = ["type", "veth", "peer", "name", "eth0", "netns", &id];
        must("ip", &[&["link", "add", port.as_str()], &plug[..]].concat())?;
        must("ip", &["link", "set", &port, "master", SWITCH, "up"])?;
        self.within(machine, &["link", "set", "lo", "up"])?;
        self.within(machine, &["address", "add", &own, "dev", "eth0"])?;
        self.within(machine, &["link", "set", "eth0", "up"])
    }

    /// What runs a command on a machine, in front of it.
    pub fn entrance(&self, machine: u8) -> Vec<String> {
        let id = self.holders[usize::from(machine) - 1].id().to_string();
        let entrance = ["nsenter", "--target", &id, "--net", "--"];
        entrance.map(str::to_owned).into()
    }

    /// `ip` on a machine.
    fn within(&self, machine: u8, arguments: &[&str]) -> Result<(), String> {
        let entrance = self.entrance(machine);
        let words = entrance[1..].iter().map(String::as_str);
        let words: Vec<&str> = words
            .chain(["ip"])
            .chain(arguments.iter().copied())
            .collect();
        must(&entrance[0], &words)
    }

    /// What one machine sends to another is lost from now on.
    pub fn cut(&self, from: u8, to: u8) -> Result<(), String> {
        let to = address(to).to_string();
        let nobody = ["lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
        let words = [&["neighbour", "replace", to.as_str()], &nobody[..]].concat();
        self.within(from, &words)
    }

    /// What one machine sends to another arrives again.
    pub fn open(&self, from: u8, to: u8) -> Result<(), String> {
        let to = address(to).to_string();
        self.within(from, &["neighbour", "delete", &to, "dev", "eth0"])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            // It may have ended by itself.
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}
