"""The commands, a module for each group. Thin: options in, a call, something printed."""
