"""Wire models: the only place where PanDA's camelCase names appear."""
