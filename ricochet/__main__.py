"""`python -m ricochet`."""

from ricochet.cli import main

main()
