"""``python -m contract``."""

from contract.cli import main

main()
