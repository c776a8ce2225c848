"""`python -m elmo_mf.compat train config.jsonnet -s out`: the `allennlp` script where no `.pth` file is read."""

from allennlp.__main__ import run

if __name__ == "__main__":
    run()
