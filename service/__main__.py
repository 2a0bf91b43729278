"""`python -P -m service` is the `normwatch` command."""

from service.cli.main import main

main()
