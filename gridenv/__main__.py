"""`python -m gridenv` is the `gridenv` command."""

from gridenv._command import main

main()
