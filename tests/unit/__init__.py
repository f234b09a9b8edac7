"""Tests of single parts; they need no service."""
