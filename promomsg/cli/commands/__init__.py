"""The commands, a file each or a close family; `promomsg.cli.app` imports one when it is called."""
