"""The reads of what people look at, a module a subject."""
