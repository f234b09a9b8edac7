"""The rules of a job's life: states, transitions, messages and the way one is handled. No I/O."""
