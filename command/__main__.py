"""`python -m command` is `panda-fsm`."""

from command.main import main

main()
