"""Who moves files: one module a distributed data management system."""
