"""Judging outside a run: policies against each other, a judge against people."""
