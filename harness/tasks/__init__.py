"""The front door: name, options and help of every command, by topic; each a few lines, no logic."""

# Every task imports what it needs when it runs: `--list` and shell completion must not wait for it.
