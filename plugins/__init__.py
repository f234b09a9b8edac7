"""For whom: one module per experiment or DDM, found through the entry points `panda_fsm.plugins`."""
