"""The `elmo-mf` command, with one file per subcommand."""
