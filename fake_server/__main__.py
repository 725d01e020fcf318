"""``python -m fake_server``: the same as the command ``fake-server``."""

from fake_server.cli import main

if __name__ == "__main__":
    main()
