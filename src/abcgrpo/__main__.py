"""`python -m abcgrpo`, and `torchrun -m abcgrpo` for several processes."""

from abcgrpo.cli import main

if __name__ == "__main__":
    main()
