//! What can be written on the command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Helenus: a distributed database that speaks Cassandra's protocol.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do; without one, `dev`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node, or several, to develop against: CQL on 127.0.0.1:9042, data in ./helenus-data.
    Dev(DevOptions),
    /// Start a node as configured.
    Server(StartOptions),
    /// Look at the metadata log of a node that is not running, or recover it when a majority of the voters is lost for good.
    Metadata {
        /// What to do.
        #[command(subcommand)]
        action: MetadataAction,
    },
    /// Ask a running node, or tell it what to do; see `helenus nodetool help`.
    #[command(disable_help_flag = true)]
    Nodetool {
        /// A command of nodetool with its options.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// What is done with the metadata log.
#[derive(Debug, Subcommand)]
pub enum MetadataAction {
    /// Show what it holds: of several nodes, recover the one whose last entry is the greatest.
    Show(DataOptions),
    /// Have this node decide alone from its next start on. Only if a majority of the voters is lost for good: what they decided last may
    /// be lost with them, and they must not be started again. See docs/clusters.md.
    Recover(DataOptions),
}

/// Where the data of a node is that is not running.
#[derive(Debug, Default, Args)]
pub struct DataOptions {
    /// The cassandra.yaml that the node is started with.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data lives.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Options of `dev`.
#[derive(Debug, Default, Args)]
pub struct DevOptions {
    /// Run so many nodes as one cluster, on 127.0.0.1, 127.0.0.2, …
    #[arg(long, value_name = "COUNT")]
    pub nodes: Option<usize>,
    /// Data centres and racks of the nodes, one node a rack unless --nodes says otherwise.
    #[arg(long, value_name = "DC:RACK,RACK;DC:RACK")]
    pub topology: Option<String>,
    /// Where the data lives.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What the process may use, such as 512M or 2GiB.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Override a setting of cassandra.yaml; nested as a.b=value.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Options of `server`.
#[derive(Debug, Default, Args)]
pub struct StartOptions {
    /// A cassandra.yaml of Cassandra 3.11 to 5.0; see docs/configuration.md.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data lives.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Nodes to ask first, with commas.
    #[arg(long, value_name = "IP,IP")]
    pub seeds: Option<String>,
    /// What the process may use, such as 512M or 2GiB.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Override a setting of cassandra.yaml; nested as a.b=value.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl From<DevOptions> for StartOptions {
    fn from(options: DevOptions) -> Self {
        Self {
            config: None,
            data_dir: options.data_dir,
            seeds: None,
            memory: options.memory,
            set: options.set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_understood() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["helenus"]).unwrap().command.is_none());
        let line = "helenus server --config c.yaml --data-dir d --seeds 1.2.3.4,5.6.7.8 --memory 2G --set a=b --set c.d=e";
        let Some(Command::Server(options)) = Cli::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!()
        };
        assert_eq!(options.seeds.as_deref(), Some("1.2.3.4,5.6.7.8"));
        assert_eq!(options.set, ["a=b", "c.d=e"]);
        let line = "helenus dev --nodes 3 --topology a:b,c;d:e --memory 2G";
        let Some(Command::Dev(options)) = Cli::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!()
        };
        assert_eq!(options.nodes, Some(3));
        assert_eq!(options.topology.as_deref(), Some("a:b,c;d:e"));
        assert!(Cli::try_parse_from(["helenus", "nothing"]).is_err());
        assert!(Cli::try_parse_from(["helenus", "metadata"]).is_err());
        let line = "helenus metadata recover --data-dir d";
        let Some(Command::Metadata {
            action: MetadataAction::Recover(options),
        }) = Cli::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!()
        };
        assert_eq!(options.data_dir, Some(PathBuf::from("d")));
        let line = "helenus nodetool -h 10.0.0.1 --json status --help";
        let Some(Command::Nodetool { arguments }) =
            Cli::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!()
        };
        assert_eq!(arguments.join(" "), "-h 10.0.0.1 --json status --help");
    }
}
