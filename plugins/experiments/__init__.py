"""For whom: one module an experiment, found through the entry points `panda_fsm.plugins`."""
