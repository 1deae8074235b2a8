//! What is on the disk, seen and changed from outside.

use super::{Directory, Inode, Node, SimDisk, split};
use crate::random::Rng;

impl SimDisk {
    /// A disk that holds these files, by path, all durable.
    pub fn holding(rng: Rng, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut disk = Self::new(rng);
        for (path, bytes) in files {
            disk.place(&path, bytes);
        }
        disk
    }

    /// Somebody puts a file there, durably.
    pub fn place(&mut self, path: &str, bytes: Vec<u8>) {
        self.next_inode += 1;
        let inode = Inode {
            content: bytes.clone(),
            durable: bytes,
            ..Inode::default()
        };
        self.inodes.insert(self.next_inode, inode);
        self.put_durable(path, Node::File(self.next_inode));
    }

    /// Names a node, and the directories on its way.
    fn put_durable(&mut self, path: &str, node: Node) {
        let (parent, name) = split(path);
        if !self.directories.contains_key(&parent) {
            self.directories
                .insert(parent.clone(), Directory::default());
            self.put_durable(&parent, Node::Directory);
        }
        let directory = self.directories.get_mut(&parent).expect("just made");
        directory.entries.insert(name.clone(), node);
        directory.durable.insert(name, node);
    }

    /// Every file with its length, by path.
    pub fn files(&self) -> Vec<(String, usize)> {
        let mut files = Vec::new();
        for (parent, directory) in &self.directories {
            for (name, node) in &directory.entries {
                if let Node::File(inode) = node {
                    let path = if parent == "." {
                        name.clone()
                    } else {
                        format!("{parent}/{name}")
                    };
                    files.push((path, self.inodes[inode].content.len()));
                }
            }
        }
        files
    }

    /// The bytes of a file.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        match self.lookup(path)? {
            Node::File(inode) => Some(&self.inodes[&inode].content),
            Node::Directory => None,
        }
    }

    /// Takes a file away, for good: somebody deleted it, or a repair of the file system did.
    pub fn lose(&mut self, path: &str) {
        let (parent, name) = split(path);
        if let Some(directory) = self.directories.get_mut(&parent) {
            directory.entries.remove(&name);
            directory.durable.remove(&name);
        }
    }

    /// Flips bits of a file's byte, on the platter: it stays so over crashes.
    pub fn rot(&mut self, path: &str, offset: usize, bits: u8) {
        if let Some(Node::File(inode)) = self.lookup(path) {
            let inode = self.inodes.get_mut(&inode).expect("named inodes exist");
            inode.content[offset] ^= bits;
            if let Some(byte) = inode.durable.get_mut(offset) {
                *byte ^= bits;
            }
        }
    }
}
