"""``sutler`` as ``python -m cli``, which is how processes start each other."""

from cli import main

if __name__ == "__main__":
    main()
