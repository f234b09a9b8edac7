"""`python -m panda_fsm` is `panda-fsm`."""

from panda_fsm.cli import main

main()
