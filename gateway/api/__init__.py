"""The handlers of the routes, a module an audience."""
