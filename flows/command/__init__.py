"""The `recognizer` command: one file per group of subcommands; heavy libraries are imported when one runs."""
