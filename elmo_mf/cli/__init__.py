"""The `elmo-mf` command, one file a subcommand."""
