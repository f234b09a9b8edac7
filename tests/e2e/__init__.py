"""Tests of the whole system, driven as users and pilots drive it."""
