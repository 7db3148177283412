"""``python -m emo_bench``: the command line where the console script is not installed."""

from emo_bench.cli import main

main()
