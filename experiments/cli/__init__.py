"""The command line: commands, options, progress, tables."""
