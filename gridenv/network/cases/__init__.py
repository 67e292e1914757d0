"""Bundled networks: one module a case, each with a function `build() -> NetworkSpec`; found by file name."""
