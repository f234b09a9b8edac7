"""The `panda-fsm` command: the composition root, supervision, what operators type."""
