"""The PanDA daemon: what is done by time, a duty a module."""
